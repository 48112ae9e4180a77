/* SPDX-License-Identifier: ISC */
/*
 * One file of the spool: a header, then records (batch.h) with a CRC each,
 * only ever appended to.  What lies in it is remembered as marks, so that
 * confirming and counting need no reading.
 */
#ifndef TELEMD_SEGMENT_H
#define TELEMD_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/cleanup.h"
#include "common/lifecycle.h"
#include "telemd/batch.h"

#define SEGMENT_HEADER 16

/* Records that were appended together. */
struct mark {
	uint64_t last_seq;
	uint32_t start; /* bytes into the file */
	uint16_t count;
	uint8_t type; /* enum event_type of all of them */
};

struct segment {
	TAILQ_ENTRY(segment) entry;
	int fd;
	uint32_t size;
	bool dirty; /* written to since the last fdatasync() */
	struct mark *marks;
	size_t confirmed; /* marks before this one are done with */
	size_t count;
	size_t cap;
	char name[48];
};

TAILQ_HEAD(segment_list, segment);

/* A new, empty segment in the directory DIR.  0 or -errno. */
int segment_create(struct segment **out, int dir, const char *prefix,
    uint64_t first_seq) _must_check_;

/*
 * An existing one, checked record by record.  From the first record that is
 * not whole on, the file is cut off; *CUT says how many bytes that were.
 * -EBADMSG: this is no segment.
 */
int segment_recover(struct segment **out, int dir, const char *name,
    uint64_t *cut) _must_check_;

/*
 * Append LEN bytes of records, COUNT of them, all of TYPE; their CRCs are
 * set here.  All or nothing.
 */
int segment_append(struct segment *s, char *records, size_t len, uint32_t count,
    enum event_type type, uint64_t last_seq) _must_check_;

/* Marks up to SEQ are done with; returns how many records that were. */
uint64_t segment_confirm(struct segment *s, uint64_t seq);

/* Records not done with, added to COUNTS (EVENT_TYPE_MAX) by type. */
void segment_count(const struct segment *s, uint64_t *counts);

static inline bool
segment_is_done(const struct segment *s)
{
	return s->confirmed == s->count;
}

/* Where the first record not done with lies. */
uint32_t segment_start(const struct segment *s);

/* The record that LEN bytes at BYTES begin with; NULL if it is not whole. */
const struct record *segment_check_record(const char *bytes, size_t len);

/* Close; with DIR != -1 remove the file too. */
void segment_free(struct segment *s, int dir);

#endif
