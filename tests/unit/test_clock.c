/* SPDX-License-Identifier: ISC */
#include "common/clock.h"

#include <string.h>

#include "common/uuid.h"
#include "tests/unit/unit.h"

START_TEST (durations_are_written_as_go_writes_them) {
	static const struct {
		int64_t sec;
		const char *text;
	} rows[] = {
		{ -5, "0s" },
		{ 0, "0s" },
		{ 45, "45s" },
		{ 60, "1m0s" },
		{ 3599, "59m59s" },
		{ 3600, "1h0m0s" },
		{ 8130, "2h15m30s" },
		{ 360000, "100h0m0s" },
	};
	char out[CLOCK_DURATION_SIZE];
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		clock_format_duration(rows[i].sec, out);
		ck_assert_str_eq(out, rows[i].text);
	}
	clock_format_duration(INT64_MAX, out);
	ck_assert_uint_lt(strlen(out), sizeof(out));
}
END_TEST

START_TEST (times_are_written_and_read_alike) {
	static const struct {
		const char *text;
		int64_t ns;
		const char *again;
	} rows[] = {
		{ "1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z" },
		{ "2024-01-15T10:30:00Z", 1705314600 * NSEC_PER_SEC,
		    "2024-01-15T10:30:00Z" },
		{ "2024-01-15t10:30:00.5z",
		    1705314600 * NSEC_PER_SEC + 500 * NSEC_PER_MSEC,
		    "2024-01-15T10:30:00.500Z" },
		{ "2024-01-15T12:30:00.000001+02:00",
		    1705314600 * NSEC_PER_SEC + 1000,
		    "2024-01-15T10:30:00.000001Z" },
		{ "2024-02-29T23:59:59-00:30", 1709252999 * NSEC_PER_SEC,
		    "2024-03-01T00:29:59Z" },
		{ "1969-12-31T23:59:59Z", -NSEC_PER_SEC,
		    "1969-12-31T23:59:59Z" },
	};
	char out[CLOCK_RFC3339_SIZE];
	int64_t ns;
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		ck_assert_int_eq(clock_parse_rfc3339(rows[i].text, &ns), 0);
		ck_assert_int_eq(ns, rows[i].ns);
		clock_format_rfc3339(ns, out);
		ck_assert_str_eq(out, rows[i].again);
	}
}
END_TEST

START_TEST (what_is_no_time_is_refused) {
	static const char *const bad[] = { "", "2024", "2024-01-15",
		"2024-01-15T10:30:00", "2024-13-01T00:00:00Z",
		"2024-00-01T00:00:00Z", "2023-02-29T00:00:00Z",
		"2024-01-15T24:00:00Z", "2024-01-15T10:60:00Z",
		"2024-01-15T10:30:00.Z", "2024-01-15T10:30:00Zx",
		"2024-01-15T10:30:00+24:00", "2024-1-15T10:30:00Z",
		"9999-01-01T00:00:00Z", "0001-01-01T00:00:00Z",
		"+024-01-15T10:30:00Z" };
	int64_t ns = 7;
	size_t i;

	for (i = 0; i < nitems(bad); i++)
		ck_assert_msg(
		    clock_parse_rfc3339(bad[i], &ns) == -EINVAL, "%s", bad[i]);
	ck_assert_int_eq(ns, 7);
}
END_TEST

START_TEST (event_ids_sort_by_time) {
	uint8_t a[16], b[16];
	char text[UUID_TEXT_SIZE];
	int64_t ns = INT64_C(1700000000123456789);

	uuid_make_v7(ns, a);
	uuid_make_v7(ns + 1000, b);
	ck_assert_int_lt(memcmp(a, b, 8), 0);
	uuid_format(a, text);
	ck_assert_uint_eq(strlen(text), 36);
	ck_assert_int_eq(text[14], '7');                 /* version */
	ck_assert_ptr_nonnull(strchr("89ab", text[19])); /* variant */
	/* Milliseconds: 1700000000123 is 0x018bcfe5687b. */
	ck_assert_int_eq(strncmp(text, "018bcfe5-687b-7", 15), 0);
	uuid_make_v7(ns, b);
	ck_assert_int_ne(memcmp(a, b, 16), 0);
}
END_TEST

UNIT_MAIN("clock", durations_are_written_as_go_writes_them,
    times_are_written_and_read_alike, what_is_no_time_is_refused,
    event_ids_sort_by_time)
