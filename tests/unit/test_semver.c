/* SPDX-License-Identifier: ISC */
#include "agentd/semver.h"

#include "tests/unit/unit.h"

/* Ascending; the first lines are the example of semver.org, item 11. */
static const char *const ascending[] = { "", "abc", "release-2", "release-10",
	"1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta",
	"1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.0.1",
	"1.0.1", "1.2", "1.2.1-0", "1.2.1-a-b", "1.2.1", "1.10.0", "2", "2.0.1",
	"18446744073709551615.0.0", "18446744073709551616.0.0",
	"99999999999999999999999999.0.0" };

static const char *const equal[][2] = { { "1.2.3", "v1.2.3" },
	{ "1.2", "1.2.0" }, { "1", "1.0.0" }, { "1.2.3+a", "1.2.3+b.c" },
	{ "1.02.3", "1.2.3" }, { "1.0.0-a+x", "1.0.0-a" }, { "x", "x" } };

static const char *const invalid[] = { "", "v", "1.", ".1", "1..2", "a.b",
	"1.2.3-", "1.2.3+", "1.2.3-a..b", "1.2.x", " 1", "1 ", "+1", "-1",
	"1.2.3-\xc3\xa9" };

START_TEST (versions_are_ordered) {
	size_t i, j;
	int order, want;

	for (i = 0; i < nitems(ascending); i++)
		for (j = 0; j < nitems(ascending); j++) {
			order = semver_compare(ascending[i], ascending[j]);
			want = (i > j) - (i < j);
			ck_assert_msg((order > 0) - (order < 0) == want,
			    "%s %s", ascending[i], ascending[j]);
		}
	for (i = 0; i < nitems(equal); i++) {
		ck_assert_int_eq(semver_compare(equal[i][0], equal[i][1]), 0);
		ck_assert_int_eq(semver_compare(equal[i][1], equal[i][0]), 0);
	}
}
END_TEST

START_TEST (what_is_a_version) {
	size_t i;

	for (i = 0; i < nitems(invalid); i++) {
		ck_assert_msg(!semver_is_valid(invalid[i]), "%s", invalid[i]);
		ck_assert_int_lt(semver_compare(invalid[i], "0.0.0-0"), 0);
	}
	ck_assert(semver_is_valid("1.2.3-rc.1+build.5"));
	ck_assert(semver_is_valid("v2024.11"));
}
END_TEST

UNIT_MAIN("semver", versions_are_ordered, what_is_a_version)
