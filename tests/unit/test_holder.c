/* SPDX-License-Identifier: ISC */
/* bpfd: whose a hook is, from what netlink says. */
#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_hook.h>
#include <string.h>

#include "bpfd/holder.h"
#include "bpfd/rtnl.h"
#include "unit.h"

static void
make_link(struct rtnl_request *r, uint16_t attr, uint32_t id)
{
	const struct ifinfomsg info = { .ifi_index = 3 };
	struct rtattr *nest;

	rtnl_init(r, RTM_NEWLINK, 0, &info, sizeof(info));
	rtnl_add(r, IFLA_IFNAME, "eth0", sizeof("eth0"));
	nest = rtnl_nest(r, IFLA_XDP);
	rtnl_add(r, IFLA_XDP_ATTACHED, "\1", 1);
	if (attr != 0)
		rtnl_add_u32(r, attr, id);
	rtnl_nest_end(r, nest);
}

START_TEST (xdp) {
	struct rtnl_request r;
	uint32_t len;

	make_link(&r, 0, 0);
	ck_assert_uint_eq(holder_parse_xdp(&r.header), 0);
	make_link(&r, IFLA_XDP_PROG_ID, 77);
	ck_assert_uint_eq(holder_parse_xdp(&r.header), 77);
	make_link(&r, IFLA_XDP_SKB_PROG_ID, 78);
	ck_assert_uint_eq(holder_parse_xdp(&r.header), 78);
	for (len = r.header.nlmsg_len - 1; len >= sizeof(r.header); len--) {
		r.header.nlmsg_len = len;
		ck_assert_uint_eq(holder_parse_xdp(&r.header), 0);
	}
	make_link(&r, IFLA_XDP_PROG_ID, 77);
	r.header.nlmsg_type = RTM_DELLINK;
	ck_assert_uint_eq(holder_parse_xdp(&r.header), 0);
}
END_TEST

static void
make_hook(struct rtnl_request *r, int32_t priority, uint32_t type, uint32_t id)
{
	const struct nfgenmsg body = { .nfgen_family = 2 };
	struct rtattr *info, *desc;

	rtnl_init(r, NFNL_SUBSYS_HOOK << 8 | NFNL_MSG_HOOK_GET, 0, &body,
	    sizeof(body));
	rtnl_add_u32(r, NFNLA_HOOK_HOOKNUM, htonl(3));
	rtnl_add_u32(r, NFNLA_HOOK_PRIORITY, htonl((uint32_t)priority));
	info = rtnl_nest(r, NFNLA_HOOK_CHAIN_INFO);
	desc = rtnl_nest(r, NFNLA_HOOK_INFO_DESC);
	rtnl_add_u32(r, 1, htonl(id));
	rtnl_nest_end(r, desc);
	rtnl_add_u32(r, NFNLA_HOOK_INFO_TYPE, htonl(type));
	rtnl_nest_end(r, info);
}

START_TEST (netfilter) {
	struct rtnl_request r;
	uint32_t len;

	make_hook(&r, -7, 2, 99);
	ck_assert_uint_eq(holder_parse_netfilter(&r.header, -7), 99);
	ck_assert_uint_eq(holder_parse_netfilter(&r.header, 7), 0);
	/* a chain of nf_tables: the same attribute is its table */
	make_hook(&r, -7, 1, 99);
	ck_assert_uint_eq(holder_parse_netfilter(&r.header, -7), 0);
	make_hook(&r, -7, 2, 99);
	for (len = r.header.nlmsg_len - 1; len >= sizeof(r.header); len--) {
		r.header.nlmsg_len = len;
		ck_assert_uint_eq(holder_parse_netfilter(&r.header, -7), 0);
	}
}
END_TEST

UNIT_MAIN("holder", xdp, netfilter)
