// SPDX-License-Identifier: GPL-2.0-only
/*
 * Drop packets by source address, as early as the kernel can.  What to drop
 * is in two tries, cidrs (IPv4) and cidrs6 (IPv6), whose values number the
 * rules for the events:
 *
 *	"parameters": { "interface": "eth0",
 *	    "cidrs": { "10.0.0.0/8": 1, "192.0.2.1/32": 2 },
 *	    "cidrs6": { "2001:db8::/32": 3 } }
 */
#include <aegis/kernel.h>
#include <aegis/stats.h>
#include <aegis/report.h>

#define MAX_CIDRS     16384
#define MAX_VLAN_TAGS 2

struct cidr_key {
	__u32 prefixlen;
	__u8 addr[4];
};

struct cidr6_key {
	__u32 prefixlen;
	__u8 addr[16];
};

struct vlan_header {
	__be16 tci;
	__be16 proto;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_CIDRS);
	__type(key, struct cidr_key);
	__type(value, __u32);
} cidrs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_CIDRS);
	__type(key, struct cidr6_key);
	__type(value, __u32);
} cidrs6 SEC(".maps");

/* Parameters.  audit: count and report, but let pass. */
const volatile _Bool audit = 0;
const volatile _Bool report = 1;

/* What an event needs to know of a packet. */
struct packet {
	__u16 family;
	__u8 protocol;
	const void *saddr;
	const void *daddr;
	__u32 addr_len;
	const void *l4; /* NULL: no ports to be had */
	const void *end;
};

static __always_inline void
report_packet(struct xdp_md *ctx, const struct packet *p, __u32 rule)
{
	const __be16 *ports = p->l4;
	struct aegis_event *e;

	e = aegis_event_begin(AEGIS_EVENT_NETWORK,
	    audit ? AEGIS_VERDICT_AUDIT : AEGIS_VERDICT_DROP);
	if (!e)
		return;
	e->family = p->family;
	e->ifindex = ctx->ingress_ifindex;
	e->protocol = p->protocol;
	e->rule = rule;
	__builtin_memcpy(e->saddr, p->saddr, p->addr_len);
	__builtin_memcpy(e->daddr, p->daddr, p->addr_len);
	if (ports &&
	    (p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP) &&
	    (const void *)(ports + 2) <= p->end) {
		e->sport = bpf_ntohs(ports[0]);
		e->dport = bpf_ntohs(ports[1]);
	}
	aegis_event_submit(e);
}

static __always_inline int
judge(struct xdp_md *ctx, struct aegis_stats *s, const struct packet *p,
    const __u32 *rule)
{
	if (!rule)
		return XDP_PASS;
	s->violations++;
	if (report)
		report_packet(ctx, p, *rule);
	if (audit)
		return XDP_PASS;
	s->packets_dropped++;
	return XDP_DROP;
}

static __always_inline int
handle_ipv4(
    struct xdp_md *ctx, struct aegis_stats *s, const void *at, const void *end)
{
	const struct iphdr *ip = at;
	struct cidr_key key = { .prefixlen = 32 };
	struct packet p;

	if ((const void *)(ip + 1) > end)
		return XDP_PASS;
	__builtin_memcpy(key.addr, &ip->saddr, sizeof(key.addr));
	p = (struct packet){ AF_INET, ip->protocol, &ip->saddr, &ip->daddr, 4,
		at + sizeof(*ip), end };
	if (ip->ihl != 5 || (ip->frag_off & bpf_htons(0x1fff)) != 0)
		p.l4 = (void *)0; /* options or a later fragment: no ports */
	return judge(ctx, s, &p, bpf_map_lookup_elem(&cidrs, &key));
}

static __always_inline int
handle_ipv6(
    struct xdp_md *ctx, struct aegis_stats *s, const void *at, const void *end)
{
	const struct ipv6hdr *ip = at;
	struct cidr6_key key = { .prefixlen = 128 };
	struct packet p;

	if ((const void *)(ip + 1) > end)
		return XDP_PASS;
	__builtin_memcpy(key.addr, &ip->saddr, sizeof(key.addr));
	p = (struct packet){ AF_INET6, ip->nexthdr, &ip->saddr, &ip->daddr, 16,
		at + sizeof(*ip), end };
	return judge(ctx, s, &p, bpf_map_lookup_elem(&cidrs6, &key));
}

SEC("xdp")
int
xdp_drop(struct xdp_md *ctx)
{
	const void *at = (const void *)(long)ctx->data;
	const void *end = (const void *)(long)ctx->data_end;
	const struct ethhdr *eth = at;
	const struct vlan_header *vlan;
	struct aegis_stats *s = aegis_stats_get();
	__be16 proto;
	int i;

	if (!s)
		return XDP_PASS;
	s->packets_processed++;
	if ((const void *)(eth + 1) > end)
		return XDP_PASS;
	proto = eth->h_proto;
	at = eth + 1;
#pragma unroll
	for (i = 0; i < MAX_VLAN_TAGS; i++) {
		if (proto != bpf_htons(ETH_P_8021Q) &&
		    proto != bpf_htons(ETH_P_8021AD))
			break;
		vlan = at;
		if ((const void *)(vlan + 1) > end)
			return XDP_PASS;
		proto = vlan->proto;
		at = vlan + 1;
	}
	if (proto == bpf_htons(ETH_P_IP))
		return handle_ipv4(ctx, s, at, end);
	if (proto == bpf_htons(ETH_P_IPV6))
		return handle_ipv6(ctx, s, at, end);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
