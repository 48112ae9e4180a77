// SPDX-License-Identifier: GPL-2.0-only
/* A map whose values are descriptors: no parameter may be written there. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} it_progs SEC(".maps");

SEC("cgroup_skb/egress")
int
it_fdmap(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &it_progs, 0);
	return 1;
}

char _license[] SEC("license") = "GPL";
