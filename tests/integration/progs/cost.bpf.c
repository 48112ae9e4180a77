// SPDX-License-Identifier: GPL-2.0-only
/*
 * Costs about as much as its parameter says: spins, packet by packet, until
 * the clock has gone on by that many nanoseconds.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Each look at the clock takes some 15 ns; verifiers take 8192 branches. */
#define MAX_LOOKS 8000

const volatile __u64 cost_ns = 40000;

struct stats {
	__u64 packets_processed;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stats);
} stats SEC(".maps");

SEC("cgroup_skb/egress")
int
it_cost(struct __sk_buff *skb)
{
	__u64 start = bpf_ktime_get_ns();
	__u32 zero = 0;
	struct stats *s = bpf_map_lookup_elem(&stats, &zero);
	int i;

	if (s)
		s->packets_processed++;
	for (i = 0; i < MAX_LOOKS; i++)
		if (bpf_ktime_get_ns() - start >= cost_ns)
			break;
	return 1;
}

char _license[] SEC("license") = "GPL";
