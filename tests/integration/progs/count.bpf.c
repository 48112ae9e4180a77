// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts what leaves a cgroup, and claims violations and errors at the rate
 * that its parameters say: the tests' stand-in for a program that misbehaves.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 violations_each = 0;
const volatile __u32 errors_each = 0;

struct stats {
	__u64 packets_processed;
	__u64 violations;
	__u64 errors;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stats);
} stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} it_marks SEC(".maps");

SEC("cgroup_skb/egress")
int
it_count(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct stats *s = bpf_map_lookup_elem(&stats, &zero);

	if (s) {
		s->packets_processed++;
		s->violations += violations_each;
		s->errors += errors_each;
	}
	return 1;
}

char _license[] SEC("license") = "GPL";
