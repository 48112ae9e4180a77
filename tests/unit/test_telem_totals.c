/* SPDX-License-Identifier: ISC */
#include "agentd/telem_totals.h"

#include <string.h>

#include "tests/unit/unit.h"

START_TEST (a_new_telemd_goes_on_where_the_last_one_ended) {
	struct telem_totals t = { 0 };
	struct msg_telem_state s = { .connected = 1,
		.reconnects = 2,
		.bad_signals = 3,
		.violations_suppressed = 4,
		.spooled_events = 5 };

	s.sent[EVENT_PROGRAM_LOADED] = 10;
	telem_totals_update(&t, &s, true);
	ck_assert_uint_eq(t.shown.sent[EVENT_PROGRAM_LOADED], 10);
	telem_totals_end(&t);
	/* gone, but what it did stays done */
	ck_assert_uint_eq(t.shown.connected, 0);
	ck_assert_uint_eq(t.shown.sent[EVENT_PROGRAM_LOADED], 10);

	memset(&s, 0, sizeof(s));
	telem_totals_update(&t, &s, true);
	ck_assert_uint_eq(t.shown.sent[EVENT_PROGRAM_LOADED], 10);
	ck_assert_uint_eq(t.shown.reconnects, 2);
	ck_assert_uint_eq(t.shown.bad_signals, 3);
	ck_assert_uint_eq(t.shown.violations_suppressed, 4);
	/* no counter: what waits now */
	ck_assert_uint_eq(t.shown.spooled_events, 0);

	s.sent[EVENT_PROGRAM_LOADED] = 1;
	telem_totals_update(&t, &s, true);
	telem_totals_update(&t, &s, true);
	ck_assert_uint_eq(t.shown.sent[EVENT_PROGRAM_LOADED], 11);
	telem_totals_end(&t);
	telem_totals_update(&t, &s, true);
	ck_assert_uint_eq(t.shown.sent[EVENT_PROGRAM_LOADED], 12);
}
END_TEST

/* What no telemd has counted would make the sum begin anew. */
START_TEST (counts_that_nobody_counted) {
	struct msg_telem_state s = { .connected = 1, .reconnects = 1 };
	uint64_t *const fields[] = { &s.sent[0], &s.sent[EVENT_TYPE_MAX - 1],
		&s.dropped[0], &s.dropped[EVENT_TYPE_MAX - 1], &s.spooled_bytes,
		&s.spooled_events, &s.reconnects, &s.bad_signals,
		&s.violations_suppressed };
	size_t i;

	ck_assert(telem_totals_is_sound(&s));
	for (i = 0; i < nitems(fields); i++) {
		*fields[i] = AEGIS_COUNT_MAX;
		ck_assert(!telem_totals_is_sound(&s));
		*fields[i] = UINT64_MAX;
		ck_assert(!telem_totals_is_sound(&s));
		*fields[i] = AEGIS_COUNT_MAX - 1;
		ck_assert(telem_totals_is_sound(&s));
	}
	s.connected = 2;
	ck_assert(!telem_totals_is_sound(&s));
	s.connected = 0;
	s.spool_full = UINT32_MAX;
	ck_assert(!telem_totals_is_sound(&s));
}
END_TEST

/* With a spool telemd itself keeps what was dropped; without, nobody does. */
START_TEST (dropped_events_are_counted_once) {
	struct telem_totals kept = { 0 }, unkept = { 0 };
	struct msg_telem_state s = { 0 };

	s.dropped[EVENT_VIOLATION_REPORT] = 7;
	telem_totals_update(&kept, &s, true);
	telem_totals_update(&unkept, &s, false);
	telem_totals_end(&kept);
	telem_totals_end(&unkept);
	/* the spool's record is one event old */
	s.dropped[EVENT_VIOLATION_REPORT] = 6;
	telem_totals_update(&kept, &s, true);
	ck_assert_uint_eq(kept.shown.dropped[EVENT_VIOLATION_REPORT], 7);
	s.dropped[EVENT_VIOLATION_REPORT] = 9;
	telem_totals_update(&kept, &s, true);
	ck_assert_uint_eq(kept.shown.dropped[EVENT_VIOLATION_REPORT], 9);
	s.dropped[EVENT_VIOLATION_REPORT] = 2;
	telem_totals_update(&unkept, &s, false);
	ck_assert_uint_eq(unkept.shown.dropped[EVENT_VIOLATION_REPORT], 9);
}
END_TEST

UNIT_MAIN("telem_totals", a_new_telemd_goes_on_where_the_last_one_ended,
    counts_that_nobody_counted, dropped_events_are_counted_once)
