/* SPDX-License-Identifier: ISC */
#include "bpfd/holder.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/if_link.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_hook.h>

#include "bpfd/rtnl.h"

/* Linux 6.4: newer than the headers we build with. */
#define HOOK_TYPE_BPF 2 /* NFNL_HOOK_TYPE_BPF */
#define HOOK_BPF_ID   1 /* NFNLA_HOOK_BPF_ID */

uint32_t
holder_parse_xdp(const struct nlmsghdr *h)
{
	/* One program in one mode, or one in each of several. */
	static const uint16_t ids[] = { IFLA_XDP_PROG_ID, IFLA_XDP_DRV_PROG_ID,
		IFLA_XDP_SKB_PROG_ID, IFLA_XDP_HW_PROG_ID };
	const struct rtattr *attrs, *xdp, *id;
	size_t len, i;

	if (h->nlmsg_type != RTM_NEWLINK)
		return 0;
	attrs = rtnl_attrs(h, sizeof(struct ifinfomsg), &len);
	xdp = rtnl_find(attrs, len, IFLA_XDP, 0);
	for (i = 0; xdp != NULL && i < nitems(ids); i++) {
		id = rtnl_find(
		    RTA_DATA(xdp), RTA_PAYLOAD(xdp), ids[i], sizeof(uint32_t));
		if (id != NULL && rtnl_u32(id) != 0)
			return rtnl_u32(id);
	}
	return 0;
}

static void
take_link(const struct nlmsghdr *h, void *ctx)
{
	uint32_t *id = ctx;

	if (*id == 0)
		*id = holder_parse_xdp(h);
}

uint32_t
holder_of_xdp(const struct kernel *k, uint32_t ifindex)
{
	const struct ifinfomsg info = { .ifi_index = (int)ifindex };
	struct rtnl_request r;
	uint32_t id = 0;

	rtnl_init(&r, RTM_GETLINK, 0, &info, sizeof(info));
	return rtnl_ask(k->tc_fd, &r, take_link, &id, NULL) == 0 ? id : 0;
}

uint32_t
holder_of_hook(int target_fd, uint32_t bpf_attach_type, bool cgroup)
{
	uint32_t ids[64] = { 0 }, count = nitems(ids), flags;

	/* Of a cgroup those above it, too, its own first. */
	if (bpf_prog_query(target_fd, (enum bpf_attach_type)bpf_attach_type,
		cgroup ? BPF_F_QUERY_EFFECTIVE : 0, &flags, ids, &count) < 0)
		return 0;
	return ids[0];
}

/* Numbers are in network order there. */
static bool
find_be32(const struct rtattr *attrs, size_t len, uint16_t type, uint32_t *out)
{
	const struct rtattr *a = rtnl_find(attrs, len, type, sizeof(*out));

	if (a != NULL)
		*out = ntohl(rtnl_u32(a));
	return a != NULL;
}

uint32_t
holder_parse_netfilter(const struct nlmsghdr *h, int32_t priority)
{
	const struct rtattr *attrs, *info, *desc;
	uint32_t has, type, id = 0;
	size_t len;

	if (h->nlmsg_type != (NFNL_SUBSYS_HOOK << 8 | NFNL_MSG_HOOK_GET))
		return 0;
	attrs = rtnl_attrs(h, sizeof(struct nfgenmsg), &len);
	if (!find_be32(attrs, len, NFNLA_HOOK_PRIORITY, &has) ||
	    (int32_t)has != priority)
		return 0;
	info = rtnl_find(attrs, len, NFNLA_HOOK_CHAIN_INFO, 0);
	if (info == NULL ||
	    !find_be32(RTA_DATA(info), RTA_PAYLOAD(info), NFNLA_HOOK_INFO_TYPE,
		&type) ||
	    type != HOOK_TYPE_BPF)
		return 0;
	desc = rtnl_find(
	    RTA_DATA(info), RTA_PAYLOAD(info), NFNLA_HOOK_INFO_DESC, 0);
	if (desc != NULL)
		(void)find_be32(
		    RTA_DATA(desc), RTA_PAYLOAD(desc), HOOK_BPF_ID, &id);
	return id;
}

struct hook_search {
	int32_t priority;
	uint32_t id;
};

static void
take_hook(const struct nlmsghdr *h, void *ctx)
{
	struct hook_search *s = ctx;

	if (s->id == 0)
		s->id = holder_parse_netfilter(h, s->priority);
}

uint32_t
holder_of_netfilter(
    const struct kernel *k, uint32_t family, uint32_t hook, int32_t priority)
{
	const struct nfgenmsg body = { .nfgen_family = (uint8_t)family };
	struct hook_search s = { .priority = priority };
	struct rtnl_request r;

	if (k->nf_fd < 0)
		return 0;
	rtnl_init(&r, NFNL_SUBSYS_HOOK << 8 | NFNL_MSG_HOOK_GET, NLM_F_DUMP,
	    &body, sizeof(body));
	rtnl_add_u32(&r, NFNLA_HOOK_HOOKNUM, htonl(hook));
	return rtnl_ask(k->nf_fd, &r, take_hook, &s, NULL) == 0 ? s.id : 0;
}
