// SPDX-License-Identifier: GPL-2.0-only
/* Reads past its context: the kernel's verifier must refuse it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("cgroup_skb/egress")
int
it_reject(struct __sk_buff *skb)
{
	return *(volatile int *)((char *)skb + 4096);
}

char _license[] SEC("license") = "GPL";
