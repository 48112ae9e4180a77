/* SPDX-License-Identifier: ISC */
/*
 * Flat records from another process: an area of bytes that is cut up into
 * arrays, and what lies in it by offset and length.  Nothing may reach out.
 */
#ifndef COMMON_RECORDS_H
#define COMMON_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Take COUNT records of SIZE bytes off the front of the *LEFT bytes at *AT;
 * NULL, and nothing taken, if there are not so many.
 */
static inline const void *
records_take(const uint8_t **at, size_t *left, size_t count, size_t size)
{
	const void *p = *at;
	size_t n;

	if (__builtin_mul_overflow(count, size, &n) || n > *left)
		return NULL;
	*at += n;
	*left -= n;
	return p;
}

/* Do LEN of them at FIRST lie within TOTAL? */
static inline bool
records_within(uint32_t first, uint32_t len, uint32_t total)
{
	uint32_t end;

	return !__builtin_add_overflow(first, len, &end) && end <= total;
}

#endif
