/* SPDX-License-Identifier: ISC */
#include "telemd/retry.h"

#include "tests/unit/unit.h"

#define BASE  500
#define HOSTS 1000

/* What a thousand hosts wait whose clocks are STEP ns apart. */
static void
expect_spread(uint64_t start, uint64_t step)
{
	unsigned int ms, quarters[4] = { 0 };
	int i;

	for (i = 0; i < HOSTS; i++) {
		ms = retry_wait_ms(BASE, start + (uint64_t)i * step);
		ck_assert_uint_ge(ms, BASE);
		ck_assert_uint_le(ms, BASE + BASE / 2);
		quarters[(ms - BASE) * 4 / (BASE / 2 + 1)]++;
	}
	for (i = 0; i < 4; i++)
		ck_assert_msg(quarters[i] > HOSTS / 4 - HOSTS / 10 &&
			quarters[i] < HOSTS / 4 + HOSTS / 10,
		    "%u of %d wait in quarter %d, for clocks %llu ns apart",
		    quarters[i], HOSTS, i, (unsigned long long)step);
}

START_TEST (test_waits_are_spread) {
	static const uint64_t steps[] = { 1, 1000, 1000000, 1000000000 };
	size_t i;

	for (i = 0; i < nitems(steps); i++) {
		expect_spread(0, steps[i]);
		expect_spread(UINT64_C(1790000000000000000), steps[i]);
	}
}
END_TEST

START_TEST (test_limits) {
	ck_assert_uint_eq(retry_wait_ms(0, 12345), 0);
	ck_assert_uint_eq(retry_wait_ms(1, 12345), 1);
	ck_assert_uint_ge(retry_wait_ms(2, UINT64_MAX), 2);
	ck_assert_uint_le(retry_wait_ms(2, UINT64_MAX), 3);
}
END_TEST

UNIT_MAIN("retry", test_waits_are_spread, test_limits)
