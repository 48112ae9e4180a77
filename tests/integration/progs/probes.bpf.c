// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs whose target needs the broker or is neither interface nor cgroup:
 * each counts its runs, for test_attach.py.
 */
#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct counters {
	__u64 packets_processed;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counters);
} stats SEC(".maps");

static __always_inline int
count(int verdict)
{
	__u32 zero = 0;
	struct counters *c = bpf_map_lookup_elem(&stats, &zero);

	if (c)
		c->packets_processed++;
	return verdict;
}

SEC("uprobe")
int
it_uprobe(struct pt_regs *ctx)
{
	return count(0);
}

SEC("kprobe/vfs_read")
int
it_kprobe(struct pt_regs *ctx)
{
	return count(0);
}

SEC("tracepoint/sched/sched_process_fork")
int
it_tracepoint(void *ctx)
{
	return count(0);
}

SEC("perf_event")
int
it_sample(struct bpf_perf_event_data *ctx)
{
	return count(0);
}

SEC("netfilter")
int
it_netfilter(void *ctx)
{
	return count(1 /* NF_ACCEPT */);
}

SEC("sk_lookup")
int
it_lookup(struct bpf_sk_lookup *ctx)
{
	return count(SK_PASS);
}

char _license[] SEC("license") = "GPL";
