/* SPDX-License-Identifier: ISC */
#include "fetchd/schedule.h"

#include "common/clock.h"
#include "unit.h"

/* The least and the most jitter. */
#define LOW  0u
#define HIGH 1000u

static struct schedule
fresh(int64_t interval_ms)
{
	return (struct schedule){ .interval_ms = interval_ms };
}

START_TEST (test_interval_with_jitter) {
	struct schedule s = fresh(30000);
	uint32_t random;
	int64_t ms;

	ck_assert_int_eq(schedule_success(&s, SCHEDULE_NO_WISH, LOW), 27000);
	ck_assert_int_eq(schedule_success(&s, SCHEDULE_NO_WISH, HIGH), 33000);
	for (random = 0; random < 100000; random += 77) {
		ms = schedule_success(
		    &s, SCHEDULE_NO_WISH, random * 2654435761u);
		ck_assert_int_ge(ms, 27000);
		ck_assert_int_le(ms, 33000);
	}
}
END_TEST

START_TEST (test_wishes_are_kept) {
	struct schedule s = fresh(30000);

	/* Never earlier than wished, at most a tenth later. */
	ck_assert_int_eq(schedule_success(&s, 120000, LOW), 120000);
	ck_assert_int_eq(schedule_success(&s, 120000, HIGH), 132000);
	ck_assert_int_eq(schedule_success(&s, 5000, LOW), 5000);
	/* Within reason. */
	ck_assert_int_eq(schedule_success(&s, 0, LOW), SCHEDULE_FLOOR_MS);
	ck_assert_int_eq(
	    schedule_success(&s, INT64_C(1) << 60, LOW), SCHEDULE_WISH_CAP_MS);
}
END_TEST

START_TEST (test_backoff) {
	static const int64_t expected[] = { 60000, 120000, 240000, 300000,
		300000 };
	struct schedule s = fresh(60000);
	size_t i;

	(void)schedule_success(&s, SCHEDULE_NO_WISH, LOW);
	for (i = 0; i < nitems(expected); i++) {
		ck_assert_int_eq(schedule_failure(&s, SCHEDULE_NO_WISH, LOW),
		    expected[i] * 9 / 10);
		ck_assert_uint_eq(s.failures, i + 1);
	}
	for (i = 0; i < 1000; i++)
		ck_assert_int_le(schedule_failure(&s, SCHEDULE_NO_WISH, HIGH),
		    SCHEDULE_BACKOFF_CAP_MS * 11 / 10);
	ck_assert_int_eq(schedule_success(&s, SCHEDULE_NO_WISH, LOW), 54000);
	ck_assert_uint_eq(s.failures, 0);
	ck_assert_int_eq(schedule_failure(&s, SCHEDULE_NO_WISH, LOW), 54000);
}
END_TEST

START_TEST (test_backoff_before_first_success) {
	struct schedule s = fresh(3600000);

	/* The network may just not be there yet. */
	ck_assert_int_eq(schedule_failure(&s, SCHEDULE_NO_WISH, HIGH), 1100);
	ck_assert_int_eq(schedule_failure(&s, SCHEDULE_NO_WISH, HIGH), 2200);
	ck_assert_int_eq(schedule_failure(&s, SCHEDULE_NO_WISH, HIGH), 4400);
}
END_TEST

START_TEST (test_backoff_of_a_long_interval) {
	struct schedule s = fresh(3600000);

	(void)schedule_success(&s, SCHEDULE_NO_WISH, LOW);
	/* Failing is no reason to ask twelve times as often. */
	ck_assert_int_eq(schedule_failure(&s, SCHEDULE_NO_WISH, LOW), 3240000);
}
END_TEST

START_TEST (test_failure_with_wish) {
	struct schedule s = fresh(1000);

	(void)schedule_success(&s, SCHEDULE_NO_WISH, LOW);
	ck_assert_int_eq(schedule_failure(&s, 120000, LOW), 120000);
	/* Shorter than the back-off: the back-off counts. */
	ck_assert_int_eq(schedule_failure(&s, 0, LOW), 1800);
	ck_assert_int_eq(
	    schedule_failure(&s, INT64_C(1) << 60, LOW), SCHEDULE_WISH_CAP_MS);
}
END_TEST

START_TEST (test_retry_after) {
	const int64_t now_ns = INT64_C(784111777) * NSEC_PER_SEC;
	int64_t ms = -1;

	ck_assert_int_eq(schedule_parse_retry_after("120", now_ns, &ms), 0);
	ck_assert_int_eq(ms, 120000);
	ck_assert_int_eq(schedule_parse_retry_after("0", now_ns, &ms), 0);
	ck_assert_int_eq(ms, 0);
	ck_assert_int_eq(
	    schedule_parse_retry_after("99999999999999999999999", now_ns, &ms),
	    0);
	ck_assert_int_ge(ms, SCHEDULE_WISH_CAP_MS);
	ck_assert_int_eq(schedule_parse_retry_after(
			     "Sun, 06 Nov 1994 08:49:37 GMT", now_ns, &ms),
	    0);
	ck_assert_int_eq(ms, 0);
	ck_assert_int_eq(schedule_parse_retry_after(
			     "Sun, 06 Nov 1994 08:50:37 GMT", now_ns, &ms),
	    0);
	ck_assert_int_eq(ms, 60000);
	/* It has passed. */
	ck_assert_int_eq(schedule_parse_retry_after(
			     "Sun, 06 Nov 1994 08:00:00 GMT", now_ns, &ms),
	    0);
	ck_assert_int_eq(ms, 0);
}
END_TEST

START_TEST (test_retry_after_malformed) {
	static const char *const bad[] = { "", "-1", "soon", "1.5", "0x10",
		"120 ", "Sun, 06 Nov 1994 08:49:37", "06 Nov 1994 08:49:37 GMT",
		"Sun, 06 Foo 1994 08:49:37 GMT",
		"Sun, 31 Feb 1994 08:49:37 GMT",
		"Sun, 06 anF 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 25:49:37 GMT",
		"Sunday, 06-Nov-94 08:49:37 GMT" };
	int64_t ms;
	size_t i;

	for (i = 0; i < nitems(bad); i++)
		ck_assert_msg(
		    schedule_parse_retry_after(bad[i], 0, &ms) == -EINVAL,
		    "accepted: %s", bad[i]);
}
END_TEST

UNIT_MAIN("fetch_schedule", test_interval_with_jitter, test_wishes_are_kept,
    test_backoff, test_backoff_before_first_success,
    test_backoff_of_a_long_interval, test_failure_with_wish, test_retry_after,
    test_retry_after_malformed)
