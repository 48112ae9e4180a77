// SPDX-License-Identifier: GPL-2.0-only
/*
 * One program that counts how often it runs, in the section that -DSECTION
 * names: what is attached by way of the agent's broker, or by the verifier's
 * view of the kernel.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct counters {
	__u64 packets_processed;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counters);
} stats SEC(".maps");

SEC(SECTION)
int
probe(void *ctx)
{
	__u32 zero = 0;
	struct counters *c = bpf_map_lookup_elem(&stats, &zero);

	(void)ctx;
	if (c)
		c->packets_processed++;
	return 0;
}

char _license[] SEC("license") = "GPL";
