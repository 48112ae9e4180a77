/* SPDX-License-Identifier: ISC */
/*
 * Custody: the descriptors that agentd holds for an artifact.
 *
 * Links are what keeps a program attached; whoever closes the last one
 * detaches it.  So unloading is close(2), needs no privilege and no living
 * bpfd.  But closing an XDP link waits 8-16 ms for an RCU grace period:
 * closing is done by a thread that does nothing else, and its end comes back
 * as a call on the event loop.
 */
#ifndef AGENTD_CUSTODY_H
#define AGENTD_CUSTODY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/loadplan.h"
#include "common/memfd.h"

struct event_base;

struct custody {
	/* Sealed memfds; -1 where not there (yet). */
	int bytes;     /* the artifact, until it is verified */
	int object;    /* program.o */
	int plan;      /* the load plan, */
	int effective; /* the parameters in force, JSON */
	int verifier_log;
	struct memfd_map plan_map; /* mapped and checked: */
	struct loadplan loadplan;  /* header NULL: no plan */
	/* In the kernel; -1 where not. */
	int progs[LOADPLAN_MAX_PROGS];
	uint32_t prog_ids[LOADPLAN_MAX_PROGS];
	uint8_t prog_tags[LOADPLAN_MAX_PROGS][8];
	int maps[LOADPLAN_MAX_MAPS];
	int links[LOADPLAN_MAX_ATTACHES];
	uint32_t link_ids[LOADPLAN_MAX_ATTACHES];
	/* While this one takes the place of another: which of that one's
	 * attachments each of ours takes over; UINT32_MAX: none. */
	uint32_t takes_over[LOADPLAN_MAX_ATTACHES];
};

/* Never NULL: ends the process when there is no memory. */
struct custody *custody_new(void);

/* Takes PLAN; maps and checks it.  0 or -errno with *WHAT (static). */
int custody_set_plan(
    struct custody *c, int plan, const char **what) _must_check_;

/* Close bytes, object, plan and parameters; what is loaded stays. */
void custody_release_files(struct custody *c);

/*
 * Choose for each attachment of NEW the one of OLD that it can take over: the
 * same kind and target, updatable in place, each at most once.  Returns how
 * many.
 */
unsigned int custody_match(struct custody *new, const struct custody *old);

/* ---- the closer ---- */

struct closer;

/* All descriptors of a job are closed; COOKIE as given. */
typedef void (*closer_done)(uint64_t cookie, void *ctx);

/* Starts the thread: before the sandbox of the process closes. */
int closer_new(struct closer **out, struct event_base *base, closer_done done,
    void *ctx) _must_check_;
void closer_free(struct closer *closer);

/*
 * Take everything that keeps the artifact in the kernel out of C and close
 * it: links first, so that it is detached before anything else goes.
 * COOKIE 0: nobody asks for the end.
 */
void closer_close(struct closer *closer, struct custody *c, uint64_t cookie);

/* Release C wholly; what it holds in the kernel goes by the closer. */
void custody_free(struct custody *c, struct closer *closer);

#endif
