// SPDX-License-Identifier: GPL-2.0-only
/* Lets every packet of an interface by, and counts it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct stats {
	__u64 packets_processed;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stats);
} stats SEC(".maps");

SEC("xdp")
int
it_pass(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct stats *s = bpf_map_lookup_elem(&stats, &zero);

	if (s)
		s->packets_processed++;
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
