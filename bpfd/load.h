/* SPDX-License-Identifier: ISC */
/*
 * One artifact on its way into the kernel: what agentd sent for it, the steps
 * (open, load, attach, replace), and what came of them.
 *
 * load_run() does the steps in one go and touches nothing but its struct
 * load, so it can run in the loader's thread (queue.h).  Until agentd has the
 * links, they are in here; after a failure nothing is.
 */
#ifndef BPFD_LOAD_H
#define BPFD_LOAD_H

#include <stdbool.h>
#include <sys/queue.h>

#include "bpfd/artifact.h"
#include "bpfd/attach.h"
#include "bpfd/failure.h"
#include "bpfd/kernel.h"
#include "bpfd/queue.h"
#include "common/tcfilter.h"

#define LOAD_MAX_LINKS 1024 /* CUSTODY_MAX_LINKS */

/* One attachment at one place. */
struct load_link {
	uint32_t attach; /* index in the plan */
	struct place place;
	int old_fd;      /* the replaced program's link; -1: attach anew */
	int old_prog_fd; /* its program, to put back; -1: not known here */
	int fd;          /* the new link; -1: none */
	uint32_t link_id;
	/* The same for one by a filter; handle 0: none. */
	struct tc_filter old_filter;
	struct tc_filter filter;
	bool updated; /* old_fd or old_filter runs the new program */
	bool wanted;  /* the plan means it */
};

/* A perf event and what becomes of it; several an attachment. */
struct load_perf {
	uint32_t attach;
	uint32_t cpu;
	int event_fd;
	int link_fd;
	uint32_t link_id;
};

_Static_assert(LOADPLAN_MAX_ATTACHES <= 64, "a bit each in struct load");

struct load {
	struct job job;            /* first: the queue's */
	TAILQ_ENTRY(load) pending; /* bpfd's list of all that are not done */
	struct artifact *artifact;
	struct memfd_map elf;
	struct load_link *links;
	size_t link_count;
	int old_maps[LOADPLAN_MAX_MAPS]; /* to carry over; -1: none */
	struct load_perf *perfs;         /* attach_probe.h */
	uint32_t perf_count;
	uint64_t beside;     /* by attachment: see attach_probe_create() */
	bool attach_nothing; /* only try whether it loads */
	bool kept;           /* its programs came with it: nothing is loaded */
	bool emptied[LOADPLAN_MAX_MAPS]; /* declared otherwise: not carried */
	bool started;   /* it is in the queue: hands off but for the next */
	bool forgotten; /* BPF_FORGET came meanwhile; the queue ignores it */

	/* results */
	struct failure failure;
	char *verifier_log; /* its end; NULL: none */
	size_t verifier_log_len;
	const struct load_link *busy; /* somebody else has its hook; NULL */
	uint64_t load_us;
	uint64_t attach_us;
};

TAILQ_HEAD(load_list, load);

/* Takes the artifact.  NULL when there is no memory (artifact is freed). */
struct load *load_new(struct artifact *artifact);

/* Close and release all that is still in it; NULL is ignored. */
void load_free(struct load *l);

/*
 * Load and attach.  L->failure.result is WORK_OK, and then the artifact has
 * its descriptors and each attachment its link or update; or it says why
 * not, and all that was made has been closed.
 */
void load_run(struct load *l, const struct kernel *k);

/* Of that attachment and interface; NULL if there is none. */
struct load_link *load_find_link(
    struct load *l, uint32_t attach, uint32_t ifindex);

/* A new one; pointers to others move.  NULL: no more than LOAD_MAX_LINKS. */
struct load_link *load_add_link(
    struct load *l, uint32_t attach, uint32_t ifindex);

/* In the list of pending ones; NULL if there is none. */
struct load *load_find(struct load_list *list, uint64_t id);

#endif
