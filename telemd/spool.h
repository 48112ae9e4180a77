/* SPDX-License-Identifier: ISC */
/*
 * The spool: events that wait for the broker on disk, bounded, in two
 * streams of segments, so that violations can go without a life cycle event
 * going with them.  Each stream is in the order of the sequence numbers.
 *
 * The store thread appends and syncs, the publisher reads and confirms; all
 * functions lock for themselves.
 */
#ifndef TELEMD_SPOOL_H
#define TELEMD_SPOOL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "telemd/batch.h"
#include "telemd/segment.h"

/* What spool_read() wants room for: any record, and then some. */
#define SPOOL_READ_SIZE (2 * RECORD_MAX_LEN)

enum spool_stream { SPOOL_EVENTS, SPOOL_VIOLATIONS, SPOOL_STREAMS };

struct spool {
	pthread_mutex_t mu;
	int dir; /* -1: there is no spool */
	uint64_t max_bytes;
	uint32_t segment_bytes;
	uint64_t bytes;   /* of all segments; atomic, as is */
	uint64_t records; /* what waits */
	struct {
		struct segment_list segments;
		struct segment *reading; /* NULL: begin at the head */
		uint32_t offset;
	} streams[SPOOL_STREAMS];
	/* what opening found */
	uint64_t last_seq;
	uint64_t torn_bytes;
	unsigned int bad_files;
};

/* A spool without a directory: everything fails with -ENODEV. */
void spool_init(struct spool *sp);

/*
 * Open the directory DIR (borrowed) and recover what lies there.  Records up
 * to CONFIRMED are done with.  0 or -errno.
 */
int spool_open(struct spool *sp, int dir, uint64_t max_bytes,
    uint64_t confirmed) _must_check_;
void spool_close(struct spool *sp);

/*
 * Append a batch to the stream of its class.  When the bound is hit, the
 * oldest violations go, then the oldest life cycle events; they are counted
 * in DROPPED (EVENT_TYPE_MAX).  -ENOSPC: the disk is full; -EDQUOT: the
 * batch, of violations, has no room beside life cycle events.
 */
int spool_append(
    struct spool *sp, struct batch *b, uint64_t *dropped) _must_check_;

/* Make what was appended to the event stream survive a power loss. */
int spool_sync(struct spool *sp) _must_check_;

/*
 * Read whole records of a stream, going on where the last call ended; at
 * most SIZE bytes.  Returns their length, 0 at the end.  What cannot be read
 * back is skipped, and counted in DROPPED.
 */
size_t spool_read(struct spool *sp, enum spool_stream stream, char *buf,
    size_t size, uint64_t *dropped);

/* Read again from the first record that is not confirmed. */
void spool_rewind(struct spool *sp);

/* The broker has all up to SEQ. */
void spool_confirm(struct spool *sp, uint64_t seq);

bool spool_is_empty(struct spool *sp, enum spool_stream stream);
void spool_usage(struct spool *sp, uint64_t *bytes, uint64_t *records);

/*
 * Call FN with every record of the event stream that waits, in order; then
 * rewind.  For start-up.  0 or -ENOMEM.
 */
int spool_each_event(struct spool *sp,
    void (*fn)(const struct record *r, void *ctx), void *ctx) _must_check_;

#endif
