// SPDX-License-Identifier: GPL-2.0-only
/*
 * Forbid traffic out of a cgroup by destination address, port and protocol:
 * connect(2) fails with EPERM, and whatever gets past it (UDP, raw sockets,
 * sockets that were connected before) is dropped on its way out.
 *
 * The simple form needs no map:
 *
 *	"parameters": { "cgroup": "/web", "dst_port": 443, "protocol": 6 }
 *
 * Rules in order, the first that matches decides; an unused one ends them:
 *
 *	"parameters": { "cgroup": "/web", "rules": {
 *	    "0": { "addr": "10.0.0.53", "prefix_len": 32, "port": 53,
 *		   "action": "RULE_ALLOW" },
 *	    "1": { "addr": "10.0.0.0", "prefix_len": 8,
 *		   "action": "RULE_DROP" } } }
 */
#include <aegis/kernel.h>
#include <aegis/stats.h>
#include <aegis/report.h>

#define MAX_RULES 32

#define VERDICT_DENY 0 /* of all cgroup programs here */
#define VERDICT_PASS 1

enum rule_action {
	RULE_UNUSED = 0,
	RULE_DROP = 1,
	RULE_ALLOW = 2,
	RULE_AUDIT = 3,
};

struct rule {
	__u8 addr[4];
	__u8 prefix_len; /* of addr; 0: every address */
	__u8 protocol;   /* IPPROTO_*; 0: all */
	__u16 port;      /* host byte order; 0: all */
	enum rule_action action;
};

struct rule6 {
	__u8 addr[16];
	__u8 prefix_len;
	__u8 protocol;
	__u16 port;
	enum rule_action action;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_RULES);
	__type(key, __u32);
	__type(value, struct rule);
} rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_RULES);
	__type(key, __u32);
	__type(value, struct rule6);
} rules6 SEC(".maps");

/* Parameters: the rule without a map, and how to act. */
const volatile __u16 dst_port = 0; /* host byte order; 0: no such rule */
const volatile __u8 protocol = 0;  /* of dst_port; 0: all */
const volatile _Bool audit = 0;    /* count and report, but let pass */
const volatile _Bool report = 1;

/* Rule number in events for dst_port; those of the maps count from 1. */
#define RULE_NUMBER_GLOBAL 0

/* Where something goes.  Addresses as four words in network order. */
struct flow {
	__u32 daddr[4];
	__u32 saddr[4];
	__u16 family;
	__u16 sport;
	__u16 dport;
	__u8 protocol;
	__u8 pad;
};

static __always_inline _Bool
prefix_matches(const __u32 *have, const __u32 *want, __u32 bits, __u32 words)
{
	__u32 i, take, mask;

#pragma unroll
	for (i = 0; i < words; i++) {
		take = bits > 32 ? 32 : bits;
		mask = take == 0 ? 0 : bpf_htonl(0xffffffffu << (32 - take));
		if ((have[i] ^ want[i]) & mask)
			return 0;
		bits -= take;
	}
	return 1;
}

static __always_inline _Bool
port_matches(const struct flow *f, __u8 proto, __u16 port)
{
	return (proto == 0 || proto == f->protocol) &&
	    (port == 0 || port == f->dport);
}

/* The action, and in *NUMBER whose it is. */
static __always_inline enum rule_action
match(const struct flow *f, __u32 *number)
{
	const struct rule6 *r6;
	const struct rule *r;
	__u32 i, index;

	*number = RULE_NUMBER_GLOBAL;
	if (dst_port != 0 && port_matches(f, protocol, dst_port))
		return RULE_DROP;
	for (i = 0; i < MAX_RULES; i++) {
		index = i;
		*number = i + 1;
		if (f->family == AF_INET) {
			r = bpf_map_lookup_elem(&rules, &index);
			if (!r || r->action == RULE_UNUSED)
				break;
			if (port_matches(f, r->protocol, r->port) &&
			    prefix_matches(f->daddr, (const __u32 *)r->addr,
				r->prefix_len, 1))
				return r->action;
		} else {
			r6 = bpf_map_lookup_elem(&rules6, &index);
			if (!r6 || r6->action == RULE_UNUSED)
				break;
			if (port_matches(f, r6->protocol, r6->port) &&
			    prefix_matches(f->daddr, (const __u32 *)r6->addr,
				r6->prefix_len, 4))
				return r6->action;
		}
	}
	return RULE_ALLOW;
}

static __always_inline void
fill_event(struct aegis_event *e, const struct flow *f, __u32 number)
{
	e->family = f->family;
	e->protocol = f->protocol;
	e->sport = f->sport;
	e->dport = f->dport;
	e->rule = number;
	__builtin_memcpy(e->daddr, f->daddr, sizeof(e->daddr));
	__builtin_memcpy(e->saddr, f->saddr, sizeof(e->saddr));
}

static __always_inline int
judge_connect(const struct flow *f)
{
	struct aegis_stats *s = aegis_stats_get();
	enum rule_action action;
	struct aegis_event *e;
	__u32 number;
	_Bool deny;

	if (!s)
		return VERDICT_PASS;
	s->packets_processed++;
	action = match(f, &number);
	if (action != RULE_DROP && action != RULE_AUDIT)
		return VERDICT_PASS;
	deny = action == RULE_DROP && !audit;
	s->violations++;
	if (report) {
		e = aegis_event_begin(AEGIS_EVENT_NETWORK,
		    deny ? AEGIS_VERDICT_DENY : AEGIS_VERDICT_AUDIT);
		if (e) {
			fill_event(e, f, number);
			aegis_event_task(e);
			aegis_event_submit(e);
		}
	}
	if (!deny)
		return VERDICT_PASS;
	s->packets_dropped++;
	return VERDICT_DENY;
}

SEC("cgroup/connect4")
int
connect4(struct bpf_sock_addr *ctx)
{
	struct flow f = {};

	f.family = AF_INET;
	f.daddr[0] = ctx->user_ip4;
	f.dport = bpf_ntohs((__u16)ctx->user_port);
	f.protocol = ctx->protocol;
	return judge_connect(&f);
}

SEC("cgroup/connect6")
int
connect6(struct bpf_sock_addr *ctx)
{
	struct flow f = {};

	f.daddr[0] = ctx->user_ip6[0];
	f.daddr[1] = ctx->user_ip6[1];
	f.daddr[2] = ctx->user_ip6[2];
	f.daddr[3] = ctx->user_ip6[3];
	f.dport = bpf_ntohs((__u16)ctx->user_port);
	f.protocol = ctx->protocol;
	f.family = AF_INET6;
	/* ::ffff:a.b.c.d goes out as IPv4 and is judged as IPv4. */
	if (f.daddr[0] == 0 && f.daddr[1] == 0 &&
	    f.daddr[2] == bpf_htonl(0xffff)) {
		f.daddr[0] = f.daddr[3];
		f.daddr[1] = f.daddr[2] = f.daddr[3] = 0;
		f.family = AF_INET;
	}
	return judge_connect(&f);
}

static __always_inline void
read_ports(struct __sk_buff *skb, __u32 off, struct flow *f)
{
	__be16 ports[2];

	if (f->protocol != IPPROTO_TCP && f->protocol != IPPROTO_UDP)
		return;
	if (bpf_skb_load_bytes(skb, off, ports, sizeof(ports)) < 0)
		return;
	f->sport = bpf_ntohs(ports[0]);
	f->dport = bpf_ntohs(ports[1]);
}

static __always_inline int
read_ipv4(struct __sk_buff *skb, struct flow *f)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) < 0)
		return -1;
	f->family = AF_INET;
	f->saddr[0] = ip.saddr;
	f->daddr[0] = ip.daddr;
	f->protocol = ip.protocol;
	/* Later fragments have no ports; without the first they are useless. */
	if ((ip.frag_off & bpf_htons(0x1fff)) == 0)
		read_ports(skb, ip.ihl * 4, f);
	return 0;
}

static __always_inline int
read_ipv6(struct __sk_buff *skb, struct flow *f)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) < 0)
		return -1;
	f->family = AF_INET6;
	__builtin_memcpy(f->saddr, &ip.saddr, sizeof(f->saddr));
	__builtin_memcpy(f->daddr, &ip.daddr, sizeof(f->daddr));
	f->protocol = ip.nexthdr;
	read_ports(skb, sizeof(ip), f);
	return 0;
}

SEC("cgroup_skb/egress")
int
egress(struct __sk_buff *skb)
{
	struct aegis_stats *s = aegis_stats_get();
	struct flow f = {};
	enum rule_action action;
	struct aegis_event *e;
	__u32 number;
	_Bool deny;
	int r;

	if (!s)
		return VERDICT_PASS;
	s->packets_processed++;
	r = skb->protocol == bpf_htons(ETH_P_IPV6) ? read_ipv6(skb, &f)
						   : read_ipv4(skb, &f);
	if (r < 0) {
		s->errors++;
		return VERDICT_PASS;
	}
	action = match(&f, &number);
	if (action != RULE_DROP && action != RULE_AUDIT)
		return VERDICT_PASS;
	deny = action == RULE_DROP && !audit;
	s->violations++;
	if (report) {
		e = aegis_event_begin(AEGIS_EVENT_NETWORK,
		    deny ? AEGIS_VERDICT_DROP : AEGIS_VERDICT_AUDIT);
		if (e) {
			fill_event(e, &f, number);
			e->ifindex = skb->ifindex;
			e->cgroup_id = bpf_skb_cgroup_id(skb);
			aegis_event_submit(e);
		}
	}
	if (!deny)
		return VERDICT_PASS;
	s->packets_dropped++;
	return VERDICT_DENY;
}

char LICENSE[] SEC("license") = "GPL";
