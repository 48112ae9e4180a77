// SPDX-License-Identifier: GPL-2.0-only
/* Lets nothing out of a cgroup: whoever gets through did so in a gap. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct stats {
	__u64 packets_processed;
	__u64 packets_dropped;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stats);
} stats SEC(".maps");

SEC("cgroup_skb/egress")
int
it_deny(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct stats *s = bpf_map_lookup_elem(&stats, &zero);

	if (s) {
		s->packets_processed++;
		s->packets_dropped++;
	}
	return 0;
}

char _license[] SEC("license") = "GPL";
