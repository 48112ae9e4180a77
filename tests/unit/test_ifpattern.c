/* SPDX-License-Identifier: ISC */
/* Which interfaces an attachment means. */
#include "common/ifpattern.h"
#include "unit.h"

START_TEST (a_name_means_itself) {
	ck_assert(!ifpattern_is_glob("eth0"));
	ck_assert(ifpattern_matches("eth0", "eth0", false));
	ck_assert(!ifpattern_matches("eth0", "eth00", false));
	ck_assert(!ifpattern_matches("eth0", "Eth0", false));
	ck_assert(ifpattern_matches("lo", "lo", true));
	ck_assert(ifpattern_matches("dummy", "dummy", true));
	ck_assert(!ifpattern_matches("", "", false));
}
END_TEST

START_TEST (patterns_are_the_shells) {
	ck_assert(ifpattern_is_glob("*"));
	ck_assert(ifpattern_is_glob("eth?"));
	ck_assert(ifpattern_is_glob("eth[0-3]"));
	ck_assert(ifpattern_matches("eth*", "eth", false));
	ck_assert(ifpattern_matches("eth*", "eth10", false));
	ck_assert(!ifpattern_matches("eth*", "veth1", false));
	ck_assert(ifpattern_matches("*eth*", "veth1", false));
	ck_assert(ifpattern_matches("eth?", "eth1", false));
	ck_assert(!ifpattern_matches("eth?", "eth10", false));
	ck_assert(ifpattern_matches("eth[0-3]", "eth3", false));
	ck_assert(!ifpattern_matches("eth[0-3]", "eth4", false));
	ck_assert(ifpattern_matches("eth[!0]", "eth4", false));
	ck_assert(!ifpattern_matches("eth[!0]", "eth0", false));
	/* VLANs and others have dots, and a leading one is nothing special */
	ck_assert(ifpattern_matches("*.10", "eth0.10", false));
	ck_assert(ifpattern_matches("*", ".x", false));
	ck_assert(ifpattern_matches("a\\*", "a\\b", false));
	ck_assert(!ifpattern_matches("*", "", false));
	/* an open bracket that is none */
	ck_assert(ifpattern_matches("eth[", "eth[", false));
	ck_assert(!ifpattern_matches("eth[", "eth0", false));
}
END_TEST

START_TEST (the_loopback_must_be_meant) {
	ck_assert(!ifpattern_matches("*", "lo", true));
	ck_assert(!ifpattern_matches("?o", "lo", true));
	ck_assert(ifpattern_matches("lo*", "lo", true));
	/* only a name like its */
	ck_assert(ifpattern_matches("*", "lo0", false));
}
END_TEST

UNIT_MAIN("ifpattern", a_name_means_itself, patterns_are_the_shells,
    the_loopback_must_be_meant)
