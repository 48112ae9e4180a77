/* SPDX-License-Identifier: ISC */
/*
 * The binaries that an artifact's uprobes are in.
 *
 * A symbol must become an offset in the file.  bpfd must not read foreign ELF
 * with its capabilities (its Landlock domain allows no such file), and agentd
 * parses nothing foreign: so agentd opens the file, and verifyd, which has
 * nothing to lose, looks the symbol up in the descriptor.  It is looked up
 * anew with every load, because a package may have replaced the file; that
 * the kernel then probes the same file is compared afterwards (broker).
 */
#ifndef AGENTD_PROBES_H
#define AGENTD_PROBES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/loadplan.h"

struct probe_site {
	int fd;          /* the binary, owned; -1: no uprobe */
	uint64_t offset; /* in the file; once it is not waited for */
	bool waiting;    /* verifyd is looking for the symbol */
};

struct probes {
	uint32_t round;   /* which answers are for this load */
	uint32_t waiting; /* sites that are */
	struct probe_site sites[LOADPLAN_MAX_ATTACHES]; /* by attachment */
};

/*
 * Open the binaries of PLAN.  *OUT is owned (probes_free()), NULL if there
 * are none.  0, or -errno with the reason in ERROR.
 */
int probes_open(const struct loadplan *plan, struct probes **out, char *error,
    size_t size) _must_check_;

/* NULL is ignored; *P is NULL afterwards. */
void probes_free(struct probes **p);

#endif
