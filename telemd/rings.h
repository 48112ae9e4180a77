/* SPDX-License-Identifier: ISC */
/*
 * The event rings of running programs, in the main thread: read in ticks,
 * not a wake-up an event, formatted into batches, and released when their
 * batches are safe.
 */
#ifndef TELEMD_RINGS_H
#define TELEMD_RINGS_H

#include <sys/queue.h>

#include "telemd/losses.h"
#include "common/ratelimit.h"
#include "telemd/ring.h"
#include "telemd/violation.h"

struct event;
struct telemd;

struct program_ring {
	TAILQ_ENTRY(program_ring) entry;
	struct telemd *telemd;
	uint64_t id; /* of RING_ADD, and unique while telemd lives: */
	uint64_t key;
	uint64_t source; /* for event_id_make() */
	int fd;          /* polled while the ring is quiet */
	struct event *readable;
	struct ring ring;
	struct losses losses;
	struct ratelimit limit;
	struct violation_format format;
	struct telemetry last_sample;
	struct violation_gap gap; /* since the last event */
	uint64_t submitted;       /* position up to which batches were made */
	bool removing;            /* drain, then let go */
	bool broken;              /* its content made no sense */
	bool bad_record_said;
	bool lost_said;
	char artifact_id[AEGIS_ID_SIZE];
	char name[AEGIS_NAME_SIZE];
	char version[AEGIS_VERSION_SIZE];
};

TAILQ_HEAD(program_rings, program_ring);

struct rings {
	struct program_rings list;
	struct event *tick;
	bool ticking;
	uint64_t next_key;
	uint64_t suppressed;    /* events left out by the rate limit */
	uint64_t lost;          /* as shown: it never falls */
	uint64_t bad_records;   /* that were no struct aegis_event */
	int64_t now_ns;         /* of this tick, on the boot clock */
	int64_t wall_offset_ns; /* wall clock minus boot clock */
	int64_t boot_epoch_ms;  /* wall clock at boot, in whole seconds */
};

int rings_init(struct telemd *t) _must_check_;
int rings_handle_add(struct imsg *m, void *ctx);
int rings_handle_lost(struct imsg *m, void *ctx);
int rings_handle_remove(struct imsg *m, void *ctx);

/*
 * COUNTED are the violations that are known to be lost: with those that
 * programs have counted and not told of.
 */
uint64_t rings_count_lost(struct telemd *t, uint64_t counted);

/* A program was sampled: its events show these numbers from now on. */
void rings_update_sample(struct telemd *t, const struct msg_event *e);

/* Batches have become safe: release what they covered. */
void rings_release(struct telemd *t);

/* Counts what programs that are gone had not told of. */
void rings_free(struct telemd *t);

#endif
