/* SPDX-License-Identifier: ISC */
/*
 * Thresholds at, just below and just above; breaches that heal; two at once.
 */
#include "agentd/rollback.h"

#include <string.h>

#include "agentd/backoff.h"
#include "common/clock.h"
#include "tests/unit/unit.h"

#define SEC NSEC_PER_SEC

static const struct rollback_limits limits = { 10, 100, 80, 1000, 102400 };

START_TEST (each_threshold_is_strictly_greater) {
	static const struct {
		enum threshold threshold;
		struct telemetry below, at, above;
	} rows[] = {
		{ THRESHOLD_MAX_ERRORS, { .errors = 9 }, { .errors = 10 },
		    { .errors = 11 } },
		{ THRESHOLD_MAX_VIOLATIONS, { .violations = 99 },
		    { .violations = 100 }, { .violations = 101 } },
		{ THRESHOLD_MAX_CPU_PERCENT, { .cpu_percent = 79.999 },
		    { .cpu_percent = 80 }, { .cpu_percent = 80.001 } },
		{ THRESHOLD_MAX_LATENCY_MS, { .latency_ms = 999.999 },
		    { .latency_ms = 1000 }, { .latency_ms = 1000.001 } },
		{ THRESHOLD_MAX_MEMORY_KB, { .memory_kb = 102399 },
		    { .memory_kb = 102400 }, { .memory_kb = 102401 } },
	};
	struct rollback_watch watch;
	struct rollback_cause cause;
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		memset(&watch, 0, sizeof(watch));
		ck_assert_int_eq(rollback_judge(&limits, &rows[i].below, 1, 0,
				     &watch, &cause),
		    ROLLBACK_QUIET);
		ck_assert_int_eq(
		    rollback_judge(&limits, &rows[i].at, 1, 0, &watch, &cause),
		    ROLLBACK_QUIET);
		ck_assert_int_eq(rollback_judge(&limits, &rows[i].above, 1, 0,
				     &watch, &cause),
		    ROLLBACK_NOW);
		ck_assert_int_eq(cause.threshold, rows[i].threshold);
		ck_assert_int_eq(cause.reason,
		    rows[i].threshold == THRESHOLD_MAX_CPU_PERCENT
			? ROLLBACK_HIGH_CPU
			: ROLLBACK_TELEMETRY_THRESHOLD);
		ck_assert(cause.value > cause.limit);
	}
}
END_TEST

START_TEST (a_breach_that_heals_within_the_delay_is_forgotten) {
	const struct telemetry bad = { .cpu_percent = 90 }, good = { 0 };
	struct rollback_watch watch = { 0 };
	struct rollback_cause cause;

	ck_assert_int_eq(
	    rollback_judge(&limits, &bad, 0, 5 * SEC, &watch, &cause),
	    ROLLBACK_WATCHED);
	ck_assert_int_eq(watch.due_boot_ns, 5 * SEC);
	ck_assert_int_eq(
	    rollback_judge(&limits, &good, 4 * SEC, 5 * SEC, &watch, &cause),
	    ROLLBACK_QUIET);
	/* The next breach has its whole delay again. */
	ck_assert_int_eq(
	    rollback_judge(&limits, &bad, 5 * SEC, 5 * SEC, &watch, &cause),
	    ROLLBACK_WATCHED);
	ck_assert_int_eq(watch.due_boot_ns, 10 * SEC);
	ck_assert_int_eq(rollback_judge(&limits, &bad, 10 * SEC - 1, 5 * SEC,
			     &watch, &cause),
	    ROLLBACK_WATCHED);
	ck_assert_int_eq(
	    rollback_judge(&limits, &bad, 10 * SEC, 5 * SEC, &watch, &cause),
	    ROLLBACK_NOW);
}
END_TEST

START_TEST (another_threshold_does_not_start_the_delay_anew) {
	const struct telemetry errors = { .errors = 11 };
	const struct telemetry both = { .errors = 11, .violations = 101 };
	const struct telemetry violations = { .violations = 101 };
	struct rollback_watch watch = { 0 };
	struct rollback_cause cause;

	ck_assert_int_eq(
	    rollback_judge(&limits, &violations, 0, 5 * SEC, &watch, &cause),
	    ROLLBACK_WATCHED);
	ck_assert_int_eq(
	    rollback_judge(&limits, &both, 3 * SEC, 5 * SEC, &watch, &cause),
	    ROLLBACK_WATCHED);
	ck_assert_int_eq(
	    rollback_judge(&limits, &errors, 5 * SEC, 5 * SEC, &watch, &cause),
	    ROLLBACK_NOW);
	ck_assert_int_eq(cause.threshold, THRESHOLD_MAX_ERRORS);
}
END_TEST

START_TEST (back_off_doubles_and_is_capped) {
	ck_assert_int_eq(backoff_ns(0, 1, 100), 0);
	ck_assert_int_eq(backoff_ns(1, 1, 100), 1);
	ck_assert_int_eq(backoff_ns(2, 1, 100), 2);
	ck_assert_int_eq(backoff_ns(7, 1, 100), 64);
	ck_assert_int_eq(backoff_ns(8, 1, 100), 100);
	ck_assert_int_eq(backoff_ns(4000000000u, 1, 100), 100);
	ck_assert_int_eq(backoff_ns(100, 1, INT64_MAX), INT64_MAX);
}
END_TEST

UNIT_MAIN("rollback", each_threshold_is_strictly_greater,
    a_breach_that_heals_within_the_delay_is_forgotten,
    another_threshold_does_not_start_the_delay_anew,
    back_off_doubles_and_is_capped)
