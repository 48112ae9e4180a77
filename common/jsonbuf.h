/* SPDX-License-Identifier: ISC */
/*
 * JSON written by hand into one growing buffer: what an event costs is then
 * the copying of its bytes.  (json-c needs thirty times as long; the slow
 * paths use it.)  Nothing here can fail half-way: when memory is short the
 * buffer says so once, at the end.
 */
#ifndef COMMON_JSONBUF_H
#define COMMON_JSONBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/cleanup.h"

struct jsonbuf {
	char *data; /* not terminated; NULL while empty */
	size_t len;
	size_t cap;
	bool failed; /* memory ran out: the content is void */
};

/* Room for N more bytes at data + len; false when memory ran out. */
bool jsonbuf_reserve_slow(struct jsonbuf *b, size_t n);

static inline bool
jsonbuf_reserve(struct jsonbuf *b, size_t n)
{
	if (b->cap - b->len >= n)
		return true;
	return jsonbuf_reserve_slow(b, n);
}

/* Bytes as they are. */
static inline void
jsonbuf_raw(struct jsonbuf *b, const char *bytes, size_t len)
{
	if (!jsonbuf_reserve(b, len))
		return;
	memcpy(b->data + b->len, bytes, len);
	b->len += len;
}

/* A literal: its length is known to the compiler. */
#define jsonbuf_lit(b, literal) jsonbuf_raw(b, "" literal, sizeof(literal) - 1)

/* A terminated string as it is. */
void jsonbuf_text(struct jsonbuf *b, const char *s);

/*
 * LEN bytes as a JSON string with its quotes.  Whatever they are, the result
 * is valid JSON and valid UTF-8: control characters are escaped, bytes that
 * are no UTF-8 become U+FFFD.
 */
void jsonbuf_string(struct jsonbuf *b, const char *s, size_t len);

/* The same for a string in an array of SIZE bytes, terminated or not. */
void jsonbuf_array_string(struct jsonbuf *b, const char *s, size_t size);

void jsonbuf_u64(struct jsonbuf *b, uint64_t v);
void jsonbuf_i64(struct jsonbuf *b, int64_t v);

/*
 * A number with up to six decimals, trailing zeros cut.  JSON has neither
 * infinity nor NaN: those become 0.
 */
void jsonbuf_double(struct jsonbuf *b, double v);

/* A wall clock time as RFC 3339 in UTC, quoted. */
void jsonbuf_time(struct jsonbuf *b, int64_t wall_ns);

/* A UUID's 16 bytes as its text of 36 characters, quoted. */
void jsonbuf_uuid(struct jsonbuf *b, const uint8_t *uuid);

void jsonbuf_free(struct jsonbuf *b);
#define _cleanup_jsonbuf_ _cleanup_(jsonbuf_free)

#endif
