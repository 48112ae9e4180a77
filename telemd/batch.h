/* SPDX-License-Identifier: ISC */
/*
 * Events on their way: a batch is one buffer of records, each a header and
 * its JSON, in the layout that the spool writes to disk, so that spooling a
 * batch is one write(2) and publishing it is a walk.  The events of a batch
 * are of one class and have consecutive sequence numbers.
 */
#ifndef TELEMD_BATCH_H
#define TELEMD_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/cleanup.h"
#include "common/event.h"
#include "common/jsonbuf.h"

struct record {
	uint32_t crc; /* of all that follows, padding too; set by the spool */
	uint32_t len; /* of the JSON, which follows, padded to 8 bytes */
	uint64_t seq;
	uint8_t event_id[16];
	uint8_t type; /* enum event_type */
	uint8_t reserved[7];
	char json[];
};

/* The largest event; error and verifier log at their limits, escaped. */
#define RECORD_MAX_LEN (256u << 10)

static inline size_t
record_size(const struct record *r)
{
	return (sizeof(*r) + r->len + 7) & ~(size_t)7;
}

struct batch {
	TAILQ_ENTRY(batch) entry;
	enum event_class class;
	uint64_t first_seq;
	uint64_t last_seq;
	uint64_t event_number; /* agentd's, to be accepted; 0: a ring's */
	uint64_t ring;         /* whose position may move on; 0: none */
	uint64_t ring_position;
	uint64_t lost;      /* events that its ring had no room for */
	int64_t born_ns;    /* on the boot clock */
	uint32_t count;     /* of records */
	unsigned int refs;  /* threads that read it beside its list */
	bool hurry;         /* its ring fills: confirm it soon */
	bool gone;          /* in no list: whoever lets go last frees it */
	bool spooled;       /* on disk too: not the ring's business any more */
	struct jsonbuf buf; /* the records */
};

TAILQ_HEAD(batch_list, batch);

/* An empty batch, NULL without memory. */
struct batch *batch_new(enum event_class class);
void batch_free(struct batch *b);

/*
 * Begin a record and end it; between the two its JSON is appended to
 * b->buf.  batch_end() returns false, and the record is gone, when memory
 * ran out or the event is larger than RECORD_MAX_LEN.
 */
size_t batch_begin(struct batch *b);
bool batch_end(struct batch *b, size_t start, enum event_type type,
    uint64_t seq, const uint8_t *event_id) _must_check_;

/* The record at *OFF; moves on.  NULL at the end. */
const struct record *batch_next(const struct batch *b, size_t *off);

#endif
