// SPDX-License-Identifier: GPL-2.0-only
/*
 * A long way to the instruction that the verifier must refuse: what it says
 * is many times the 16 KiB that the agent keeps.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define STEP  sum = sum * 3 + skb->len;
#define STEPS STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP
#define MANY  STEPS STEPS STEPS STEPS STEPS STEPS STEPS STEPS STEPS STEPS

SEC("cgroup_skb/egress")
int
it_longlog(struct __sk_buff *skb)
{
	volatile __u64 sum = 0;

	MANY;
	MANY;
	MANY;
	MANY;
	MANY;
	return *(volatile int *)((char *)skb + 4096) + (int)sum;
}

char _license[] SEC("license") = "GPL";
