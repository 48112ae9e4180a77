/* SPDX-License-Identifier: GPL-2.0-only OR ISC */
/*
 * Writing struct aegis_event into the ring buffer that the agent reads:
 *
 *	e = aegis_event_begin(AEGIS_EVENT_NETWORK, AEGIS_VERDICT_DROP);
 *	if (e != NULL) {
 *		aegis_event_task(e);	(where there is a current task)
 *		e->dport = ...;
 *		aegis_event_submit(e);
 *	}
 *
 * A full ring makes aegis_event_begin() return NULL: the event is lost, the
 * verdict stands, and the next event that finds room says how many were lost.
 * That takes an atomic exchange: compile with -mcpu=v3.
 */
#ifndef AEGIS_REPORT_H
#define AEGIS_REPORT_H

#include <bpf/bpf_helpers.h>

#include <aegis/event.h>

#ifndef AEGIS_EVENTS_BYTES
#define AEGIS_EVENTS_BYTES (256 * 1024) /* a power of two, whole pages */
#endif

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, AEGIS_EVENTS_BYTES);
} aegis_events SEC(".maps");

/*
 * Events that found the ring full and were not told of yet.  Mapped by the
 * agent, who tells of those that no event follows.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} aegis_lost SEC(".maps");

static __always_inline struct aegis_event *
aegis_event_begin(__u16 kind, __u16 verdict)
{
	struct aegis_event *e;
	__u32 zero = 0;
	__u64 *lost;

	/* Never NULL in practice, but the verifier wants the test. */
	lost = bpf_map_lookup_elem(&aegis_lost, &zero);
	if (!lost)
		return (void *)0;
	e = bpf_ringbuf_reserve(&aegis_events, sizeof(*e), 0);
	if (!e) {
		__sync_fetch_and_add(lost, 1);
		return (void *)0;
	}
	/* The ring's memory is used again: nothing of the last event stays. */
	__builtin_memset(e, 0, sizeof(*e));
	e->version = AEGIS_EVENT_VERSION;
	e->kind = kind;
	e->verdict = verdict;
	e->time_ns = bpf_ktime_get_boot_ns();
	/* Read first: an exchange each time would drag the counter's cache
	 * line from CPU to CPU. */
	if (*lost)
		e->lost = __sync_lock_test_and_set(lost, 0);
	return e;
}

/* Who does it: not for XDP, tc and cgroup_skb, where no task is current. */
static __always_inline void
aegis_event_task(struct aegis_event *e)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u64 uid_gid = bpf_get_current_uid_gid();

	e->pid = pid_tgid >> 32;
	e->tid = (__u32)pid_tgid;
	e->uid = (__u32)uid_gid;
	e->gid = uid_gid >> 32;
	e->cgroup_id = bpf_get_current_cgroup_id();
	bpf_get_current_comm(e->comm, sizeof(e->comm));
}

static __always_inline void
aegis_event_submit(struct aegis_event *e)
{
	bpf_ringbuf_submit(e, 0);
}

#endif
