/* SPDX-License-Identifier: ISC */
/*
 * What gaps.bpf.c and the process that makes its events (gap_events.c) both
 * know: the value of the map gap_marks, which lies in the memory of both.
 */
#ifndef TESTS_INTEGRATION_PROGS_GAPS_H
#define TESTS_INTEGRATION_PROGS_GAPS_H

#include <linux/types.h>

/* The lines of common/attach.def, as enum attach_kind has them. */
enum gap_kind {
#define ATTACH(NAME, ...) GAP_##NAME,
#include "../../../common/attach.def"
#undef ATTACH
	GAP_KINDS
};

#define GAP_CPUS 64

struct gap_sampling {
	__u64 ticks; /* of a sampler that is never replaced */
	__u64 at;    /* which of them the last sample saw */
	__u64 most;  /* that ever went by without a sample */
	__u64 samples;
};

struct gap_marks {
	__u64 now;             /* the number of the event that goes on */
	__u64 pid;             /* who makes it */
	__u64 last[GAP_KINDS]; /* event that a program of that kind saw */
	__u64 runs[GAP_KINDS];
	struct gap_sampling cpu[GAP_CPUS];
};

#endif
