/* SPDX-License-Identifier: GPL-2.0-only OR ISC */
/*
 * Counters that the agent reads: a per-CPU array named stats whose value is
 * a structure.  The agent finds the members by name in the object's BTF and
 * adds them up over all CPUs; a program may add members of its own.
 */
#ifndef AEGIS_STATS_H
#define AEGIS_STATS_H

#include <bpf/bpf_helpers.h>

struct aegis_stats {
	__u64 packets_processed; /* everything looked at */
	__u64 packets_dropped;   /* what was really stopped */
	__u64 violations;        /* what a rule forbids, stopped or audited */
	__u64 errors;            /* what the program could not decide */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct aegis_stats);
} stats SEC(".maps");

/*
 * This CPU's counters; never NULL in practice, but the verifier wants the
 * test.  A plain ++ is right: nothing else runs this program on this CPU in
 * the middle of it, and if something does, one count is lost, not the sum.
 */
static __always_inline struct aegis_stats *
aegis_stats_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&stats, &zero);
}

#endif
