/* SPDX-License-Identifier: ISC */
/*
 * What must outlive telemd besides the spool's events: which sequence
 * numbers were given out and which are with the broker.  One small record,
 * overwritten in place each time before a number can be seen outside: it
 * survives the death of telemd; of a power loss it knows that there was one.
 */
#ifndef TELEMD_SEQSTATE_H
#define TELEMD_SEQSTATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/lifecycle.h"

/* Numbers left out after a power loss: the record may be older than events
 * that were sent. */
#define SEQSTATE_JUMP (UINT64_C(1) << 20)

struct seqstate_record {
	char magic[8];
	uint32_t crc;   /* of all that follows */
	uint32_t clean; /* 1: telemd ended in order */
	uint8_t boot_id[16];
	uint64_t next_seq;
	uint64_t confirmed;
	uint64_t dropped[EVENT_TYPE_MAX];
	uint64_t suppressed;
};

struct seqstate {
	pthread_mutex_t mu;
	int fd;    /* -1: nothing is kept */
	int error; /* of the last write, -errno; 0: none */
	struct seqstate_record r;
};

/* Where to begin. */
struct seqstate_begin {
	uint64_t next_seq;
	/* Numbers that were given out but may never have been delivered, or
	 * come again under others; 0, 0 where there are none. */
	uint64_t unsure_first;
	uint64_t unsure_last;
};

/*
 * Decide where to begin: SAVED is what was kept (NULL: nothing), BOOT_ID
 * this boot's, SPOOL_LAST the highest number in the spool, CONFIGURED what
 * agentd remembers.
 */
struct seqstate_begin seqstate_decide(const struct seqstate_record *saved,
    const uint8_t boot_id[16], uint64_t spool_last, uint64_t configured);

/* Nothing is kept until seqstate_open(). */
void seqstate_init(struct seqstate *st);

/*
 * Open or create the record in the directory DIR.  st->r is what was kept,
 * *FOUND whether there was something sound.  0 or -errno.
 */
int seqstate_open(struct seqstate *st, int dir, bool *found) _must_check_;

/*
 * The given values are from now on so; 0 or NULL keeps one, and a number never
 * goes back.  -errno of the write, which seqstate_error() tells as well.
 */
int seqstate_store(struct seqstate *st, uint64_t next_seq, uint64_t confirmed,
    const uint64_t *dropped);

/* What the last write came to, by whichever thread: 0 or -errno. */
int seqstate_error(struct seqstate *st) _must_check_;

/* telemd ends in order: nothing is unsure. */
void seqstate_close(struct seqstate *st, bool clean);

/* This boot's id; zeros when the kernel does not tell. */
void seqstate_boot_id(uint8_t out[16]);

#endif
