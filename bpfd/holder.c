/* SPDX-License-Identifier: ISC */
#include "bpfd/holder.h"

#include <bpf/bpf.h>
#include <linux/if_link.h>

#include "bpfd/rtnl.h"

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
