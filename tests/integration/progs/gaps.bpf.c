// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program for each line of common/attach.def that BPF_LINK_UPDATE knows
 * nothing of (and lsm_cgroup): each marks the event during which it runs, so
 * that the process that makes the events (gap_events.c) sees after each of
 * them who has missed it.
 *
 * GAPS_KERNEL: 0 leaves out what some machines refuse, 601 and 612 what that
 * version lacks: even what is not attached must load.
 */
#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "gaps.h"

#ifndef GAPS_KERNEL
#define GAPS_KERNEL 0
#endif

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gap_marks);
} gap_marks SEC(".maps");

static __always_inline struct gap_marks *
find_marks(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&gap_marks, &zero);
}

static __always_inline void
mark(struct gap_marks *m, enum gap_kind kind)
{
	m->last[kind] = m->now;
	m->runs[kind]++;
}

/* Other processes do likewise, and are none of our business. */
static __always_inline int
see(enum gap_kind kind, int verdict)
{
	struct gap_marks *m = find_marks();

	if (m && bpf_get_current_pid_tgid() >> 32 == m->pid)
		mark(m, kind);
	return verdict;
}

#define SEE(section, name, type, verdict)                                      \
	SEC(section)                                                           \
	int gap_##name(type *ctx)                                              \
	{                                                                      \
		return see(GAP_##name, verdict);                               \
	}

SEE("tp_btf/task_rename", TP_BTF, __u64, 0)
SEE("raw_tp/task_rename", RAW_TP, struct bpf_raw_tracepoint_args, 0)
SEE("tp/task/task_rename", TRACEPOINT, void, 0)
SEE("uprobe", UPROBE, struct pt_regs, 0)
SEE("uretprobe", URETPROBE, struct pt_regs, 0)

#if GAPS_KERNEL > 0
SEE("lsm/task_setnice", LSM, __u64, 0)
SEE("lsm_cgroup/socket_bind", LSM_CGROUP, __u64, 1)
SEE("fentry/security_task_setnice", FENTRY, __u64, 0)
SEE("fexit/security_task_setnice", FEXIT, __u64, 0)
SEE("fmod_ret/security_task_setnice", FMOD_RET, __u64, 0)
SEE("kprobe/security_task_setnice", KPROBE, struct pt_regs, 0)
SEE("kretprobe/security_task_setnice", KRETPROBE, struct pt_regs, 0)
#endif
#if GAPS_KERNEL > 601
SEE("kprobe.multi/security_task_setnice", KPROBE_MULTI, struct pt_regs, 0)
SEE("kretprobe.multi/security_task_setnice", KRETPROBE_MULTI, struct pt_regs, 0)
#endif

#if GAPS_KERNEL != 601
struct sk_buff {
	__u32 mark;
} __attribute__((preserve_access_index));

struct bpf_nf_ctx {
	const void *state;
	const struct sk_buff *skb;
};

/*
 * Others send from other processors at the same time: their program would
 * write the number of the last event over that of this one.  Ours bears the
 * pid as its mark.
 */
SEC("netfilter")
int
gap_NETFILTER(struct bpf_nf_ctx *ctx)
{
	struct gap_marks *m = find_marks();

	if (m && ctx->skb->mark == m->pid)
		mark(m, GAP_NETFILTER);
	return 1; /* NF_ACCEPT */
}
#endif

static __always_inline struct gap_sampling *
find_cpu(void)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct gap_marks *m = find_marks();

	return m && cpu < GAP_CPUS ? &m->cpu[cpu] : 0;
}

/* Samples belong to no event: what counts is how far they lie apart. */
SEC("perf_event")
int
gap_PERF_EVENT(struct bpf_perf_event_data *ctx)
{
	struct gap_sampling *s = find_cpu();

	if (!s)
		return 0;
	if (s->ticks - s->at > s->most)
		s->most = s->ticks - s->at;
	s->at = s->ticks;
	s->samples++;
	return 0;
}

/* The clock for that: gap_events.c attaches it, and nobody replaces it. */
SEC("perf_event")
int
gap_tick(struct bpf_perf_event_data *ctx)
{
	struct gap_sampling *s = find_cpu();

	if (s)
		s->ticks++;
	return 0;
}

char _license[] SEC("license") = "GPL";
