// SPDX-License-Identifier: GPL-2.0-only
/*
 * One of everything that parameters can be, and a count of what passed: for
 * changing them while it runs.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 constant = 1; /* .rodata: the verifier knows it */
volatile __u32 level = 7;          /* .data */
volatile __u32 other = 9;          /* .data, never a parameter */

struct stats {
	__u64 packets_processed;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stats);
} stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u32);
} it_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} it_array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} it_percpu SEC(".maps");

struct prefix {
	__u32 bits;
	__u8 address[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 8);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u32);
} it_trie SEC(".maps");

SEC("cgroup_skb/egress")
int
it_params(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct stats *s = bpf_map_lookup_elem(&stats, &zero);

	if (s)
		s->packets_processed += constant;
	other = level;
	return 1;
}

char _license[] SEC("license") = "GPL";
