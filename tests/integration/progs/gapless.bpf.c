// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sees to it that nothing happens unseen, while one version of this takes
 * the place of another: no connect gets through, and each of the events that
 * the test numbers leaves its mark.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define EVENTS (256 * 1024)

/* A version is another object, so that it is replaced. */
const volatile __u32 version = 1;
/* Of the process that makes the numbered events. */
const volatile __u32 pid = 0;
/* System calls with numbers from here on, which no kernel has, are events. */
const volatile __u64 first_event = 1000000;

struct stats {
	__u64 packets_processed;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stats);
} stats SEC(".maps");

struct marks {
	__u8 seen[EVENTS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct marks);
} it_marks SEC(".maps");

static __always_inline void
count(void)
{
	__u32 zero = 0;
	struct stats *s = bpf_map_lookup_elem(&stats, &zero);

	if (s)
		s->packets_processed++;
}

SEC("cgroup/connect4")
int
it_connect(struct bpf_sock_addr *ctx)
{
	count();
	return 0;
}

static __always_inline int
see(__u64 number)
{
	__u64 event = number - first_event;
	__u32 zero = 0;
	struct marks *m;

	if (event >= EVENTS || bpf_get_current_pid_tgid() >> 32 != pid)
		return 0;
	m = bpf_map_lookup_elem(&it_marks, &zero);
	if (m)
		m->seen[event] = 1;
	count();
	return 0;
}

SEC("raw_tp/sys_enter")
int
it_event(struct bpf_raw_tracepoint_args *ctx)
{
	return see(ctx->args[1]);
}

SEC("tp_btf/sys_enter")
int
it_btf_event(__u64 *ctx)
{
	return see(ctx[1]);
}

char _license[] SEC("license") = "GPL";
