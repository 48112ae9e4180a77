/* SPDX-License-Identifier: ISC */
/* Malformed entries of lists that come again and again: told once each. */
#include "fetchd/complaints.h"

#include <string.h>

#include "tests/unit/unit.h"

static struct complaints c;

static void
setup(void)
{
	memset(&c, 0, sizeof(c));
	complaints_begin(&c);
}

/* The list is over and good; the next one begins. */
static uint32_t
next_list(void)
{
	uint32_t more = complaints_end(&c);

	complaints_begin(&c);
	return more;
}

/* COUNT entries, all malformed in the same way. */
static unsigned int
add_many(unsigned int count)
{
	unsigned int i, said = 0;

	for (i = 0; i < count; i++)
		said += complaints_add(&c, i, "", "no artifact_id");
	return said;
}

START_TEST (the_same_complaint_is_made_once) {
	setup();
	ck_assert(complaints_add(&c, 3, "a", "bad ttl"));
	ck_assert_uint_eq(next_list(), 0);
	ck_assert(!complaints_add(&c, 3, "a", "bad ttl"));
	/* An entry with a name is known wherever it stands. */
	ck_assert(!complaints_add(&c, 4, "a", "bad ttl"));
	ck_assert_uint_eq(next_list(), 0);
	ck_assert(!complaints_add(&c, 3, "a", "bad ttl"));
}
END_TEST

START_TEST (what_differs_is_another) {
	static const struct {
		uint32_t index;
		const char *id, *error;
	} others[] = {
		{ 3, "a", "bad size" },
		{ 3, "b", "bad ttl" },
		/* Where the name ends and the error begins counts. */
		{ 3, "ab", "ad ttl" },
		{ 3, "", "abad ttl" },
		/* One without a name is known by its place. */
		{ 3, "", "bad ttl" },
		{ 4, "", "bad ttl" },
		{ UINT32_MAX, "", "bad ttl" },
		{ 3, "a", "" },
	};
	size_t i;

	setup();
	ck_assert(complaints_add(&c, 3, "a", "bad ttl"));
	(void)next_list();
	for (i = 0; i < nitems(others); i++)
		ck_assert_msg(complaints_add(&c, others[i].index, others[i].id,
				  others[i].error),
		    "row %zu", i);
}
END_TEST

START_TEST (what_was_put_right_may_break_again) {
	setup();
	ck_assert(complaints_add(&c, 0, "a", "bad ttl"));
	(void)next_list();
	(void)next_list();
	ck_assert(complaints_add(&c, 0, "a", "bad ttl"));
}
END_TEST

START_TEST (what_was_no_list_changes_nothing) {
	setup();
	ck_assert(complaints_add(&c, 0, "a", "bad ttl"));
	(void)next_list();
	/* Half of one comes, and is given up. */
	ck_assert(complaints_add(&c, 0, "b", "bad ttl"));
	complaints_begin(&c);
	ck_assert(!complaints_add(&c, 0, "a", "bad ttl"));
	ck_assert(complaints_add(&c, 0, "b", "bad ttl"));
}
END_TEST

START_TEST (lines_of_one_list_are_bounded_and_the_rest_counted) {
	static const struct {
		unsigned int count, said, more;
	} rows[] = {
		{ 0, 0, 0 },
		{ COMPLAINTS_LINES - 1, COMPLAINTS_LINES - 1, 0 },
		{ COMPLAINTS_LINES, COMPLAINTS_LINES, 0 },
		{ COMPLAINTS_LINES + 1, COMPLAINTS_LINES, 1 },
		{ AEGIS_LIST_ENTRIES, COMPLAINTS_LINES,
		    AEGIS_LIST_ENTRIES - COMPLAINTS_LINES },
	};
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		setup();
		ck_assert_uint_eq(add_many(rows[i].count), rows[i].said);
		ck_assert_uint_eq(next_list(), rows[i].more);
		/* Those without a line are known as well. */
		ck_assert_uint_eq(add_many(rows[i].count), 0);
		ck_assert_uint_eq(next_list(), 0);
	}
}
END_TEST

/* No list has more entries; one that says so overruns nothing. */
START_TEST (more_than_a_list_holds_are_taken_and_forgotten) {
	struct {
		struct complaints c;
		char after[64];
	} room = { 0 };
	unsigned int i, said = 0;

	memset(room.after, 'x', sizeof(room.after));
	complaints_begin(&room.c);
	for (i = 0; i < AEGIS_LIST_ENTRIES + 8; i++)
		said += complaints_add(&room.c, i, "", "bad");
	ck_assert_uint_eq(said, COMPLAINTS_LINES);
	ck_assert_uint_eq(
	    complaints_end(&room.c), AEGIS_LIST_ENTRIES + 8 - COMPLAINTS_LINES);
	for (i = 0; i < sizeof(room.after); i++)
		ck_assert_int_eq(room.after[i], 'x');
	complaints_begin(&room.c);
	ck_assert(!complaints_add(&room.c, AEGIS_LIST_ENTRIES - 1, "", "bad"));
	ck_assert(complaints_add(&room.c, AEGIS_LIST_ENTRIES, "", "bad"));
}
END_TEST

UNIT_MAIN("complaints", the_same_complaint_is_made_once,
    what_differs_is_another, what_was_put_right_may_break_again,
    what_was_no_list_changes_nothing,
    lines_of_one_list_are_bounded_and_the_rest_counted,
    more_than_a_list_holds_are_taken_and_forgotten)
