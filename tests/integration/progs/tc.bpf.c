// SPDX-License-Identifier: GPL-2.0-only
/*
 * Traffic of an interface, by tc: lets nothing by that goes to one UDP port,
 * and counts it.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* A version is another object, so that it is replaced. */
const volatile __u32 version = 1;
const volatile __u16 blocked_port = 9;

struct stats {
	__u64 packets_processed; /* those that are dropped */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stats);
} stats SEC(".maps");

static __always_inline int
judge(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct stats *s = bpf_map_lookup_elem(&stats, &zero);
	struct iphdr ip;
	struct udphdr udp;

	if (skb->protocol != bpf_htons(ETH_P_IP) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0 ||
	    ip.protocol != IPPROTO_UDP ||
	    bpf_skb_load_bytes(skb, ETH_HLEN + ip.ihl * 4, &udp, sizeof(udp)) <
		0 ||
	    udp.dest != bpf_htons(blocked_port))
		return TC_ACT_UNSPEC;
	if (s)
		s->packets_processed++;
	return TC_ACT_SHOT;
}

SEC("tc/ingress")
int
it_tc(struct __sk_buff *skb)
{
	return judge(skb);
}

SEC("?tc/egress")
int
it_out(struct __sk_buff *skb)
{
	return judge(skb);
}

char _license[] SEC("license") = "GPL";
