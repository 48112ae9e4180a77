/* SPDX-License-Identifier: ISC */
/*
 * One artifact as agentd knows it: what the registry said of it, where it
 * is in its life, and what it holds.
 *
 * The files of the functional core (fleet, reconcile, lifecycle, rollback)
 * work on this and on the fleet below, with clocks handed in, and touch no
 * descriptor, process or socket: what is to be done comes out as actions.
 */
#ifndef AGENTD_ARTIFACT_H
#define AGENTD_ARTIFACT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "agentd/rollback.h"
#include "common/artlist.h"
#include "common/clock.h"
#include "common/lifecycle.h"

/* Both clocks at one moment; decisions use boot, people see wall. */
struct moment {
	int64_t boot_ns;
	int64_t wall_ns;
};

struct moment moment_now(void);

struct custody;

struct artifact {
	TAILQ_ENTRY(artifact) entry;
	uint64_t handle; /* given out once, never reused */

	/* What the registry says. */
	struct artlist_entry listing;
	uint8_t *params; /* owned; JSON text, unread */
	bool listed;     /* in the last good list */
	bool in_list;    /* reconcile.c: stands for an entry of this one */
	bool taken;      /* reconcile.c: a listed one is to take its place */
	unsigned int missing_polls;

	/* Where it is. */
	enum program_status status;
	bool working; /* the current stage is with a worker right now */
	unsigned int attempts;    /* transient failures of this stage */
	unsigned int crashes;     /* workers that died over it */
	unsigned int mismatches;  /* downloads with another checksum */
	int64_t retry_boot_ns;    /* not before this; 0: now */
	int64_t deadline_boot_ns; /* the worker must have answered; 0: none */
	bool timed_out;           /* it had not, and was killed for it */
	char *error;              /* owned; why it failed last, or NULL */
	bool error_reported;      /* that one, as program_error */

	/* Its time. */
	int64_t ttl_sec;     /* in force; 0: no end */
	int64_t max_ttl_sec; /* the signed metadata's; 0: none */
	bool ever_loaded; /* this id and checksum, also by an earlier agentd */
	int64_t first_loaded_boot_ns; /* may be before this boot: negative */
	int64_t loaded_boot_ns;       /* this time; 0: not loaded */
	int64_t loaded_wall_ns;
	uint64_t load_order; /* which was loaded first */
	enum unload_reason unload_reason;
	enum program_status after_unload; /* EXPIRED, ROLLED_BACK, UNLOADED */
	bool stuck;   /* UNLOADING, but the kernel does not let all of it go */
	bool evicted; /* waits for a free place */
	bool restoring; /* loads to bring back what its predecessor replaced */
	bool load_anew; /* its parameters cannot be changed in place */
	bool half_changed;   /* a bpfd died while it wrote them */
	bool params_unknown; /* its maps may have some of another's */

	/* Replacement: handles, since either may be gone. */
	uint64_t predecessor; /* runs until this one is loaded; 0: none */
	uint64_t successor;   /* took its place; kept for probation; 0: none */

	/* Telemetry and rollback. */
	struct telemetry telemetry;
	uint64_t sampled_round;  /* that bpfd has answered last */
	int64_t sampled_boot_ns; /* 0: no sample yet */
	int64_t sampled_wall_ns;
	bool has_packet_counter;
	struct rollback_limits limits; /* configured, tightened by metadata */
	struct rollback_watch watch;
	struct rollback_cause cause; /* while it is being rolled back */
	bool rolling_back;
	bool asked; /* for the sample that decides a breach */

	/* What it holds (descriptors): custody.c's business. */
	struct custody *custody;
};

TAILQ_HEAD(artifact_list, artifact);

/* In the kernel, whatever is said of it. */
static inline bool
artifact_is_loaded(const struct artifact *a)
{
	return a->status == STATUS_LOADED || a->status == STATUS_RUNNING;
}

/* On its way to the kernel. */
static inline bool
artifact_is_pending(const struct artifact *a)
{
	return a->status <= STATUS_LOADING;
}

/* At the end of its life: nothing more will happen by itself. */
static inline bool
artifact_is_over(const struct artifact *a)
{
	return a->status == STATUS_EXPIRED || a->status == STATUS_ROLLED_BACK ||
	    a->status == STATUS_FAILED ||
	    (a->status == STATUS_UNLOADED && !a->evicted);
}

/* When its time is over, on the boot clock; INT64_MAX: not yet running. */
static inline int64_t
artifact_expires_boot_ns(const struct artifact *a)
{
	int64_t ttl_ns, end;

	if (!a->ever_loaded || a->ttl_sec <= 0 ||
	    __builtin_mul_overflow(a->ttl_sec, NSEC_PER_SEC, &ttl_ns) ||
	    __builtin_add_overflow(a->first_loaded_boot_ns, ttl_ns, &end))
		return INT64_MAX;
	return end;
}

#endif
