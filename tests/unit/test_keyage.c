/* SPDX-License-Identifier: ISC */
#include "agentd/keyage.h"

#include "common/clock.h"
#include "tests/unit/unit.h"

START_TEST (keys_of_vault_come_of_age) {
	int64_t at = 1000 * NSEC_PER_SEC;

	ck_assert_int_eq(
	    keyage_end_boot_ns(true, at, 86400), at + 86400 * NSEC_PER_SEC);
	ck_assert_int_eq(
	    keyage_end_boot_ns(true, 0, 5), INT64_C(5) * NSEC_PER_SEC);
}
END_TEST

START_TEST (pinned_keys_do_not) {
	ck_assert_int_eq(keyage_end_boot_ns(false, 0, 5), INT64_MAX);
	/* Nor does a sum overflow. */
	ck_assert_int_eq(
	    keyage_end_boot_ns(true, INT64_MAX - 1, 31536000), INT64_MAX);
}
END_TEST

START_TEST (vault_may_miss_some_times) {
	ck_assert_uint_eq(keyage_refresh_sec(86400), 3600);
	ck_assert_uint_eq(keyage_refresh_sec(1200), 100);
	ck_assert_uint_eq(keyage_refresh_sec(5), 1);
	ck_assert_uint_eq(keyage_refresh_sec(0), 1);
	ck_assert_uint_eq(keyage_refresh_sec(31536000), 3600);
}
END_TEST

UNIT_MAIN("keyage", keys_of_vault_come_of_age, pinned_keys_do_not,
    vault_may_miss_some_times)
