/* SPDX-License-Identifier: ISC */
/*
 * Programs attached to traffic by filters of the clsact qdisc, over rtnetlink:
 * for a priority, and on kernels that have no tcx links.
 *
 * A filter bears its owner's mark in its name, "aegisflux-1a2b3c4d:program"
 * ('+' for ':' where the qdisc was made along with it), and is removed only
 * by that, and only if it runs the program that it should: what somebody else
 * has put in its place is somebody else's.
 */
#ifndef BPFD_CLSACT_H
#define BPFD_CLSACT_H

#include <linux/rtnetlink.h>
#include <stdbool.h>

#include "bpfd/attach.h"
#include "bpfd/failure.h"
#include "bpfd/kernel.h"
#include "bpfd/rtnl.h"
#include "common/loadplan.h"
#include "common/tcfilter.h"

#define CLSACT_NAME_SIZE 64

/* Is attachment A one by a filter, on this kernel? */
bool clsact_is_meant(const struct loadplan_attach *a, const struct kernel *k);

/* What this kernel lacks for it, in words, or NULL.  Loads modules. */
const char *clsact_lacks(const struct kernel *k);

/*
 * Attach the program in PROG_FD (borrowed) as A says, at PLACE; makes the
 * qdisc if need be.  0 with the filter in *OUT, or -errno with the reason in F.
 */
int clsact_attach(const struct kernel *k, const struct loadplan_attach *a,
    const struct place *place, int prog_fd, struct tc_filter *out,
    struct failure *f) _must_check_;

/*
 * Swap the program of a filter in place, without a gap.  0 and FILTER's new
 * prog_id, or -errno: -ENOENT, there is no such filter of ours.
 */
int clsact_replace(
    const struct kernel *k, struct tc_filter *filter, int prog_fd) _must_check_;

/*
 * Remove a filter, and the qdisc if it was made for it and holds nobody's
 * filters.  0, or -errno: -ENOENT, there is none there of ours with that
 * program.
 */
int clsact_detach(
    const struct kernel *k, const struct tc_filter *filter) _must_check_;

/* What there is in a place. */
struct clsact_seen {
	struct tc_filter filter;
	char kind[16];
	char name[CLSACT_NAME_SIZE]; /* "" where longer: not ours */
};

/* 0, or -errno: -ENOENT, nothing there. */
int clsact_look(const struct kernel *k, const struct tc_filter *at,
    struct clsact_seen *seen) _must_check_;

/* 0 if it is there, ours, and runs its prog_id; -ENOENT if not; or -errno. */
int clsact_look_ours(
    const struct kernel *k, const struct tc_filter *at) _must_check_;

/*
 * Remove every filter that bears our mark, but for the COUNT in KEEP, which
 * get the program in PROG_FDS (-1: none) if they run another one.  Adds to
 * *REMOVED and *RESTORED; 0 or -errno.
 */
int clsact_sweep(const struct kernel *k, const struct tc_filter *keep,
    const int *prog_fds, size_t count, uint32_t *removed,
    uint32_t *restored) _must_check_;

/* ---- for these alone, and their tests ---- */

/* A filter's name; PROGRAM is cut to fit. */
void clsact_format_name(uint32_t owner, bool made_qdisc, const char *program,
    char out[CLSACT_NAME_SIZE]);

/* Does OWNER's mark stand in NAME?  *MADE_QDISC if so (may be NULL). */
bool clsact_is_ours(uint32_t owner, const char *name, bool *made_qdisc);

/* Does NAME stand in the BTF in FD?  True also if it cannot be read. */
bool clsact_btf_has(int fd, const char *name);

/* All that hang at one end of an interface, each an RTM_NEWTFILTER to EACH. */
int clsact_dump(const struct kernel *k, uint32_t ifindex, bool egress,
    rtnl_each each, void *ctx);

/* An RTM_NEWTFILTER; false: it names no filter (but perhaps a chain). */
bool clsact_parse(const struct nlmsghdr *h, struct clsact_seen *seen);

#endif
