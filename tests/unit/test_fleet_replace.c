/* SPDX-License-Identifier: ISC */
/*
 * The list as the desired set: what stays, what goes, what takes whose place.
 */
#include <string.h>

#include "tests/unit/fleet_fixture.h"
#include "tests/unit/unit.h"

/* ---- the list as the desired set ---- */

START_TEST (two_of_one_name_run_side_by_side) {
	list_entry("a", "n", "1.0.0", 1);
	list_entry("b", "n", "1.0.0", 2);
	poll_list();
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	ck_assert_int_eq(status_of("b"), STATUS_LOADED);
}
END_TEST

START_TEST (withdrawn_after_two_good_polls) {
	list_and_load("a", "n", "1.0.0", 1);
	poll_list();
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	poll_unchanged(1); /* a 304 is a good poll */
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADED);
	ck_assert_uint_eq(fleet.unloads[UNLOAD_WITHDRAWN], 1);
	/* Gone from memory one poll later, and back if it is listed again. */
	poll_list();
	ck_assert_ptr_null(find("a"));
	list_and_load("a", "n", "1.0.0", 1);
}
END_TEST

START_TEST (withdrawal_can_be_turned_off) {
	fleet.rules.unload_withdrawn = false;
	list_and_load("a", "n", "1.0.0", 1);
	poll_list();
	poll_list();
	poll_list();
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
}
END_TEST

START_TEST (new_checksum_under_an_id_replaces_without_a_gap) {
	struct artifact *old;

	fleet.rules.default_ttl_sec = 3600;
	list_and_load("a", "n", "1.0.0", 1);
	old = find("a");
	shell_fails = true; /* the load takes its time */
	list_only("a", "n", "1.0.1", 2);
	ck_assert_int_eq(old->status, STATUS_LOADED); /* still there */
	shell_fails = false;
	newest()->working = false;
	pass(0);
	ck_assert_str_eq(find("a")->listing.version, "1.0.1");
	ck_assert_int_eq(old->status, STATUS_UNLOADED);
	ck_assert_int_eq(old->unload_reason, UNLOAD_REPLACED);
	/* Kept for probation, then forgotten. */
	pass(300 * SEC - 1);
	ck_assert_uint_eq(drops, 0);
	pass(1);
	ck_assert_uint_eq(drops, 1);
}
END_TEST

START_TEST (new_id_of_the_name_replaces_the_one_that_left) {
	list_and_load("a", "n", "1.0.0", 1);
	list_and_load("b", "n", "1.1.0", 2);
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADED);
	ck_assert_uint_eq(fleet.unloads[UNLOAD_REPLACED], 1);
	ck_assert_uint_eq(fleet.unloads[UNLOAD_WITHDRAWN], 0);
}
END_TEST

START_TEST (replaces_says_it_outright) {
	struct artlist_entry *e;

	list_and_load("a", "n", "1.0.0", 1);
	list_entry("a", "n", "1.0.0", 1);
	e = list_entry("b", "other", "1.0.0", 2);
	memcpy(e->replaces, "a", 2);
	poll_list();
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADED);
	ck_assert_int_eq(status_of("b"), STATUS_LOADED);
	/* Still listed, both: no tug-of-war. */
	list_entry("a", "n", "1.0.0", 1);
	e = list_entry("b", "other", "1.0.0", 2);
	memcpy(e->replaces, "a", 2);
	poll_list();
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADED);
	ck_assert_uint_eq(loads, 2);
}
END_TEST

START_TEST (a_failed_replacement_keeps_the_old_one) {
	int i;

	list_and_load("a", "n", "1.0.0", 1);
	load_result = WORK_REFUSED;
	for (i = 0; i < 4; i++)
		list_only("b", "n", "1.1.0", 2);
	ck_assert_int_eq(status_of("b"), STATUS_FAILED);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	/* When the new one is withdrawn as well, nothing holds the old. */
	poll_list();
	poll_list();
	poll_list();
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 0);
}
END_TEST

START_TEST (changed_parameters_replace) {
	list_and_load("a", "n", "1.0.0", 1);
	list_entry("a", "n", "1.0.0", 1)->params_len = 2;
	poll_list();
	ck_assert_uint_eq(loads, 2);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 1);
	ck_assert_uint_eq(find("a")->listing.params_len, 2);
}
END_TEST

/* ---- places ---- */

START_TEST (the_first_loaded_makes_room_and_does_not_flap) {
	int i;

	list_and_load("a", "x", "1.0.0", 1);
	for (i = 0; i < 3; i++) {
		list_entry("a", "x", "1.0.0", 1);
		list_entry("b", "y", "1.0.0", 2);
		list_entry("c", "z", "1.0.0", 3);
		poll_list();
	}
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADED);
	ck_assert_uint_eq(fleet.unloads[UNLOAD_EVICTED], 1);
	ck_assert_uint_eq(loads, 3);
	/* A place becomes free: it is back. */
	ck_assert_int_eq(unload("b"), 0);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	ck_assert_int_eq(status_of("b"), STATUS_UNLOADED);
}
END_TEST

START_TEST (what_the_operator_unloads_stays_out) {
	list_and_load("a", "x", "1.0.0", 1);
	ck_assert_int_eq(unload("a"), 0);
	ck_assert_int_eq(unload("a"), -ESRCH);
	ck_assert_int_eq(unload("b"), -ENOENT);
	list_only("a", "x", "1.0.0", 1);
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADED);
	ck_assert_int_eq(pardon("a"), 0);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
}
END_TEST

UNIT_FIXTURE_MAIN("fleet_replace", setup, teardown,
    two_of_one_name_run_side_by_side, withdrawn_after_two_good_polls,
    withdrawal_can_be_turned_off,
    new_checksum_under_an_id_replaces_without_a_gap,
    new_id_of_the_name_replaces_the_one_that_left, replaces_says_it_outright,
    a_failed_replacement_keeps_the_old_one, changed_parameters_replace,
    the_first_loaded_makes_room_and_does_not_flap,
    what_the_operator_unloads_stays_out)
