/* SPDX-License-Identifier: ISC */
/*
 * What swaps.bpf.c and the process that makes its events (swap_events.c) both
 * know: the value of the map swap_marks, which lies in the memory of both.
 */
#ifndef TESTS_INTEGRATION_PROGS_SWAPS_H
#define TESTS_INTEGRATION_PROGS_SWAPS_H

#include "gaps.h"

struct swap_marks {
	__u64 mark;            /* of the packet that counts, */
	__u64 port;            /* and where it goes to, host byte order */
	__u64 runs[GAP_KINDS]; /* of programs of that kind, any version's */
};

#endif
