/* SPDX-License-Identifier: ISC */
/* An area of bytes cut up into arrays, by counts that may lie. */
#include "common/records.h"

#include "tests/unit/unit.h"

START_TEST (arrays_are_taken_from_the_front) {
	uint8_t area[16];
	const uint8_t *at = area;
	size_t left = sizeof(area);

	ck_assert_ptr_eq(records_take(&at, &left, 1, 4), area);
	ck_assert_ptr_eq(records_take(&at, &left, 0, 8), area + 4);
	ck_assert_ptr_eq(records_take(&at, &left, 3, 4), area + 4);
	ck_assert_uint_eq(left, 0);
	ck_assert_ptr_eq(at, area + sizeof(area));
	ck_assert_ptr_eq(records_take(&at, &left, 0, 8), at);
	ck_assert_ptr_null(records_take(&at, &left, 1, 1));
}
END_TEST

START_TEST (a_count_that_lies_takes_nothing) {
	static const struct {
		size_t count, size;
	} rows[] = {
		{ 17, 1 },
		{ 3, 8 },
		{ 1, 17 },
		{ SIZE_MAX, 1 },
		{ SIZE_MAX, SIZE_MAX },
		/* Their product is 0, or 16, where it overflows. */
		{ SIZE_MAX / 2 + 1, 2 },
		{ SIZE_MAX / 16 + 2, 16 },
	};
	uint8_t area[16];
	const uint8_t *at = area;
	size_t left = sizeof(area), i;

	for (i = 0; i < nitems(rows); i++) {
		ck_assert_msg(records_take(&at, &left, rows[i].count,
				  rows[i].size) == NULL,
		    "row %zu", i);
		ck_assert_ptr_eq(at, area);
		ck_assert_uint_eq(left, sizeof(area));
	}
	ck_assert_ptr_eq(records_take(&at, &left, 2, 8), area);
}
END_TEST

START_TEST (what_lies_within) {
	static const struct {
		uint32_t first, len, total;
		bool within;
	} rows[] = {
		{ 0, 0, 0, true },
		{ 0, 8, 8, true },
		{ 8, 0, 8, true },
		{ 7, 1, 8, true },
		{ 8, 1, 8, false },
		{ 9, 0, 8, false },
		{ 0, 9, 8, false },
		{ 1, UINT32_MAX, 8, false },
		{ UINT32_MAX, 1, 8, false },
		{ UINT32_MAX, UINT32_MAX, UINT32_MAX, false },
		{ 0, UINT32_MAX, UINT32_MAX, true },
		{ UINT32_MAX, 0, UINT32_MAX, true },
	};
	size_t i;

	for (i = 0; i < nitems(rows); i++)
		ck_assert_msg(records_within(rows[i].first, rows[i].len,
				  rows[i].total) == rows[i].within,
		    "row %zu", i);
}
END_TEST

UNIT_MAIN("records", arrays_are_taken_from_the_front,
    a_count_that_lies_takes_nothing, what_lies_within)
