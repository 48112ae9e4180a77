/* SPDX-License-Identifier: ISC */
/*
 * Attaching programs by link: one function for each method of attach.def,
 * and the words for what stands in the way.
 */
#ifndef BPFD_ATTACH_H
#define BPFD_ATTACH_H

#include <linux/bpf.h>
#include <stdbool.h>

#include "bpfd/failure.h"
#include "bpfd/kernel.h"
#include "common/loadplan.h"

/* What a program must be, to be attached so. */
enum bpf_prog_type attach_prog_type(uint32_t kind);
enum bpf_attach_type attach_expected_type(uint32_t kind);

/*
 * Does this kernel have what the plan's attachments need, and are their
 * targets there, as far as it can be known before loading?  0, or -errno
 * with the lacking thing in F.
 */
int attach_check(const struct loadplan *plan, const struct kernel *k,
    struct failure *f) _must_check_;

/* The index of the interface A names, or -errno with the reason in F. */
int attach_find_interface(const struct loadplan_attach *a,
    const struct kernel *k, struct failure *f) _must_check_;

/* Why the kernel may have said EPERM to loading that program.  Static. */
const char *attach_refusal_hint(
    const struct loadplan *plan, const char *program, const struct kernel *k);

/* Where: an interface, or what the attachment's target names. */
struct place {
	uint32_t ifindex;                  /* 0: not at an interface */
	char interface[AEGIS_IFNAME_SIZE]; /* its name; else "" */
};

/*
 * Attach the program in PROG_FD (borrowed) as attachment INDEX says, at PLACE.
 * The link: an owned descriptor, or -errno with the reason in F.  BESIDE: see
 * attach_probe_create().  Not for METHOD_PERF.
 */
int attach_create(const struct loadplan *plan, uint32_t index,
    const struct place *place, int prog_fd, const struct kernel *k, bool beside,
    struct failure *f) _must_check_;

/* The link is there but no longer attached: its interface or cgroup went, or
 * somebody has detached it. */
bool attach_link_is_dead(int link_fd);

/* The kernel's id and program of a link.  0 or -errno. */
int attach_link_info(
    int link_fd, uint32_t *link_id, uint32_t *prog_id) _must_check_;

#endif
