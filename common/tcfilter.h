/* SPDX-License-Identifier: ISC */
/*
 * A tc filter of the clsact qdisc: how a program is attached to traffic where
 * no link can do it, for a priority, or before Linux 6.6.  No descriptor keeps
 * it there, so whoever made it has to undo it: agentd keeps these records, and
 * bpfd puts the owner's mark into the filter's name, by which another bpfd
 * tells what has been left behind from what is somebody else's.
 */
#ifndef COMMON_TCFILTER_H
#define COMMON_TCFILTER_H

#include <stdbool.h>
#include <stdint.h>

struct tc_filter {
	uint32_t ifindex;
	uint32_t handle; /* the kernel's; 0: there is no filter */
	uint32_t prog_id;
	uint16_t priority; /* 1 and up: the lower runs first */
	uint8_t egress;
	uint8_t made_qdisc; /* clsact was not there before */
};

#define TC_FILTERS_MAX 65536

/* Where it is; its program may be another one. */
static inline bool
tc_filter_same_place(const struct tc_filter *a, const struct tc_filter *b)
{
	return a->ifindex == b->ifindex && a->handle == b->handle &&
	    a->priority == b->priority && a->egress == b->egress;
}

/* From a peer: is it one at all? */
static inline bool
tc_filter_is_sound(const struct tc_filter *f)
{
	return f->ifindex != 0 && f->ifindex <= INT32_MAX && f->handle != 0 &&
	    f->priority != 0 && f->egress <= 1 && f->made_qdisc <= 1;
}

#endif
