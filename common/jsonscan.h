/* SPDX-License-Identifier: ISC */
/*
 * A strict look at JSON text before any parser builds objects from it.
 *
 * json-c takes duplicate keys (the last wins), NUL in strings, numbers that
 * do not fit (clamped) and whatever size; two readers of the same text may
 * then see two different things.  What passes here has one reading only, is
 * of bounded depth and size, and holds no character that C strings or logs
 * cannot carry.  No allocation grows beyond a small multiple of the limits.
 */
#ifndef COMMON_JSONSCAN_H
#define COMMON_JSONSCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/cleanup.h"

/* The deepest nesting that any caller may allow. */
#define JSONSCAN_DEPTH_MAX 64

/* Room for jsonscan_check()'s error text. */
#define JSONSCAN_ERROR_SIZE 160

struct jsonscan_limits {
	unsigned int depth; /* of arrays and objects; 0: scalars only */
	size_t values;      /* in all, members and elements counted singly */
};

/*
 * Check that the LEN bytes at TEXT are exactly one JSON value (RFC 8259)
 * with blanks around it, and beyond that: valid UTF-8, no escaped NUL, no
 * lone surrogates, no key twice in one object (escapes decoded), integers
 * within -2^63..2^64-1, other numbers finite.
 *
 * 0, or -EBADMSG: malformed; -E2BIG: a limit is exceeded; -ENOMEM.  ERROR
 * (JSONSCAN_ERROR_SIZE bytes) then says what and at which byte, printable.
 */
int jsonscan_check(const char *text, size_t len,
    const struct jsonscan_limits *limits, char *error) _must_check_;

#endif
