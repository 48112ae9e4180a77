/* SPDX-License-Identifier: ISC */
/*
 * Strict numbers and checked strings: the one place where text that came
 * from outside becomes a number or an identifier.
 */
#ifndef COMMON_STRNUM_H
#define COMMON_STRNUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

/*
 * Decimal digits, or 0x and hexadecimal digits; no blanks, no sign but one
 * leading '-' where MIN is negative.  -EINVAL: not a number; -ERANGE: not
 * within MIN..MAX.  *OUT is written only on success.
 */
int strnum_parse_i64(
    const char *s, int64_t min, int64_t max, int64_t *out) _must_check_;
int strnum_parse_u64(
    const char *s, uint64_t min, uint64_t max, uint64_t *out) _must_check_;

/* A finite decimal such as 80 or 0.5; same errors. */
int strnum_parse_double(
    const char *s, double min, double max, double *out) _must_check_;

/* Hexadecimal digits, either case, exactly 2 * LEN of them. */
int strnum_parse_hex(const char *s, uint8_t *out, size_t len) _must_check_;

/* Lower case; OUT takes 2 * LEN + 1 bytes. */
void strnum_format_hex(const uint8_t *data, size_t len, char *out);

/*
 * Copy SRC into the fixed array DST of SIZE bytes, zero-filled to its end (so
 * that no stale byte leaves the process).  -ENAMETOOLONG and an empty DST if
 * it does not fit.
 */
int str_copy(char *dst, size_t size, const char *src) _must_check_;

/* The same, cut at a character boundary (UTF-8) instead of refused. */
void str_copy_cut(char *dst, size_t size, const char *src);

/* True if the array of SIZE bytes holds a NUL. */
bool str_is_terminated(const char *s, size_t size);

/*
 * True for a terminated, non-empty identifier of letters, digits and any of
 * "._:@+-", not starting with '.' or '-': safe in a file name, a NATS
 * subject token position, a URL path segment and a log line.
 */
bool str_is_identifier(const char *s, size_t size);

/* True for a terminated string of valid UTF-8 without control characters. */
bool str_is_text(const char *s, size_t size);

/*
 * The length in bytes of the valid UTF-8 character at S (of which LEN > 0
 * bytes are there), 0 if it is none: overlong forms and surrogates are none.
 */
size_t str_utf8_length(const unsigned char *s, size_t len);

/*
 * Replace, in place, what str_is_text() would refuse by '?'; terminates.
 * For foreign text on its way into a log line or an event.
 */
void str_scrub(char *s, size_t size);

#endif
