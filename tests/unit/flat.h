/* SPDX-License-Identifier: ISC */
/*
 * Flat records under test: a valid one in memory, fields broken one by one,
 * and bytes changed at random.
 */
#ifndef TESTS_UNIT_FLAT_H
#define TESTS_UNIT_FLAT_H

#include <string.h>

#include "common/memfd.h"
#include "tests/unit/unit.h"

/* The content of the sealed memfd FD (takes it): malloc'd, 8-aligned. */
static inline void *
flat_read(int fd, size_t *len)
{
	struct memfd_map map;
	void *bytes;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(memfd_map(fd, SIZE_MAX >> 1, &map), 0);
	bytes = malloc(map.len);
	ck_assert_ptr_nonnull(bytes);
	memcpy(bytes, map.data, map.len);
	*len = map.len;
	memfd_unmap(&map);
	(void)close(fd);
	return bytes;
}

/* A copy of exactly LEN bytes: a sanitizer sees every byte too far. */
static inline void *
flat_copy(const void *bytes, size_t len)
{
	void *copy = malloc(len > 0 ? len : 1);

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, bytes, len);
	return copy;
}

/* xorshift64: the same sequence in each run. */
static inline uint64_t
flat_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Change a few bytes; half the time to a value that bounds get wrong. */
static inline void
flat_mutate(uint8_t *bytes, size_t len, uint64_t *state)
{
	static const uint32_t odd[] = { 0, 1, 0x7fffffff, 0x80000000,
		0xffffffff, 0xfffffff0, 64, 65 };
	unsigned int n = 1 + (unsigned int)(flat_random(state) % 4);
	size_t at;

	while (n-- > 0) {
		at = flat_random(state) % len;
		if (flat_random(state) & 1) {
			bytes[at] = (uint8_t)flat_random(state);
			continue;
		}
		at &= ~(size_t)3;
		if (at + 4 <= len)
			memcpy(bytes + at,
			    &odd[flat_random(state) % nitems(odd)], 4);
	}
}

#endif
