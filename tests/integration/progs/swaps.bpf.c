// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program for each line of common/attach.def that BPF_LINK_UPDATE knows (but
 * lsm_cgroup: gaps.bpf.c), which counts how often it runs for the events of
 * swap_events.c: those are the only ones in their cgroup, and elsewhere one
 * packet of each counts.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "swaps.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct swap_marks);
} swap_marks SEC(".maps");

static __always_inline struct swap_marks *
find_marks(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&swap_marks, &zero);
}

static __always_inline int
see(enum gap_kind kind, int verdict)
{
	struct swap_marks *m = find_marks();

	if (m)
		m->runs[kind]++;
	return verdict;
}

static __always_inline int
see_packet(enum gap_kind kind, const struct __sk_buff *skb, int verdict)
{
	struct swap_marks *m = find_marks();

	if (m && m->mark != 0 && skb->mark == m->mark)
		m->runs[kind]++;
	return verdict;
}

#define SEE(section, name, type, verdict)                                      \
	SEC(section)                                                           \
	int swap_##name(type *ctx)                                             \
	{                                                                      \
		return see(GAP_##name, verdict);                               \
	}
#define SEE_PACKET(section, name, verdict)                                     \
	SEC(section)                                                           \
	int swap_##name(struct __sk_buff *skb)                                 \
	{                                                                      \
		return see_packet(GAP_##name, skb, verdict);                   \
	}

SEE_PACKET("tc/ingress", TCX_INGRESS, -1)
SEE_PACKET("tc/egress", TCX_EGRESS, -1)
SEE_PACKET("cgroup_skb/ingress", CGROUP_SKB_INGRESS, 1)
SEE_PACKET("cgroup_skb/egress", CGROUP_SKB_EGRESS, 1)
SEE("cgroup/sock_create", CGROUP_SOCK_CREATE, struct bpf_sock, 1)
SEE("cgroup/sock_release", CGROUP_SOCK_RELEASE, struct bpf_sock, 1)
SEE("cgroup/bind4", CGROUP_BIND4, struct bpf_sock_addr, 1)
SEE("cgroup/bind6", CGROUP_BIND6, struct bpf_sock_addr, 1)
SEE("cgroup/connect4", CGROUP_CONNECT4, struct bpf_sock_addr, 1)
SEE("cgroup/connect6", CGROUP_CONNECT6, struct bpf_sock_addr, 1)
SEE("cgroup/sendmsg4", CGROUP_SENDMSG4, struct bpf_sock_addr, 1)
SEE("cgroup/sendmsg6", CGROUP_SENDMSG6, struct bpf_sock_addr, 1)
SEE("cgroup/recvmsg4", CGROUP_RECVMSG4, struct bpf_sock_addr, 1)
SEE("cgroup/recvmsg6", CGROUP_RECVMSG6, struct bpf_sock_addr, 1)
SEE("cgroup/getsockopt", CGROUP_GETSOCKOPT, struct bpf_sockopt, 1)
SEE("cgroup/setsockopt", CGROUP_SETSOCKOPT, struct bpf_sockopt, 1)
SEE("cgroup/dev", CGROUP_DEVICE, struct bpf_cgroup_dev_ctx, 1)
SEE("cgroup/sysctl", CGROUP_SYSCTL, struct bpf_sysctl, 1)

/* There is no mark where this runs. */
SEC("xdp")
int
swap_XDP(struct xdp_md *ctx)
{
	const struct ethhdr *eth = (void *)(long)ctx->data;
	const struct iphdr *ip = (const void *)(eth + 1);
	const struct udphdr *udp = (const void *)(ip + 1);
	struct swap_marks *m = find_marks();

	if (!m || (const void *)(udp + 1) > (void *)(long)ctx->data_end ||
	    eth->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	if (m->port != 0 && bpf_ntohs(udp->dest) == m->port)
		m->runs[GAP_XDP]++;
	return XDP_PASS;
}

SEC("sk_lookup")
int
swap_SK_LOOKUP(struct bpf_sk_lookup *ctx)
{
	struct swap_marks *m = find_marks();

	if (m && m->port != 0 && ctx->protocol == IPPROTO_UDP &&
	    ctx->family == 2 /* AF_INET */ && ctx->local_port == m->port)
		m->runs[GAP_SK_LOOKUP]++;
	return SK_PASS;
}

/* On a busy machine the SYN is sent twice; it is one connect all the same. */
SEC("sockops")
int
swap_SOCK_OPS(struct bpf_sock_ops *ctx)
{
	return ctx->op == BPF_SOCK_OPS_TCP_CONNECT_CB ? see(GAP_SOCK_OPS, 1)
						      : 1;
}

char _license[] SEC("license") = "GPL";
