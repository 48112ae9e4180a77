/* SPDX-License-Identifier: ISC */
/*
 * Breaches, rollbacks and what is restored, with a fake clock.
 */
#include <string.h>

#include "tests/unit/fleet_fixture.h"
#include "tests/unit/unit.h"

/* ---- rollback ---- */

START_TEST (a_breach_that_holds_over_the_delay_rolls_back) {
	setup();
	list_and_load("a", "n", "1.0.0", 1);
	sample("a", 11);
	ck_assert_int_eq(status_of("a"), STATUS_RUNNING);
	ck_assert_int_eq(
	    fleet_next_deadline(&fleet, now), now.boot_ns + 5 * SEC);
	samples = 0;
	pass(5 * SEC);
	ck_assert_uint_eq(samples, 1); /* it is looked at again, */
	pass(0);
	ck_assert_uint_eq(samples, 1); /* once */
	sample("a", 11);
	ck_assert_int_eq(status_of("a"), STATUS_ROLLED_BACK);
	ck_assert_uint_eq(events[EVENT_PROGRAM_ROLLED_BACK], 1);
	ck_assert_uint_eq(rollback_status_count, 3);
	ck_assert_int_eq(rollback_statuses[0], ROLLBACK_INITIATED);
	ck_assert_int_eq(rollback_statuses[1], ROLLBACK_IN_PROGRESS);
	ck_assert_int_eq(rollback_statuses[2], ROLLBACK_COMPLETED);
	ck_assert_uint_eq(state.rollbacks[0].threshold, THRESHOLD_MAX_ERRORS);
	ck_assert(state.rollbacks[0].value == 11);
	list_entry("a", "n", "1.0.0", 1);
	poll_list();
	run();
	ck_assert_uint_eq(loads, 1);
	teardown();
}
END_TEST

/* Neither starts the delay anew, cuts it short, nor is measured by it. */
START_TEST (clock_steps_do_not_move_a_rollback) {
	setup();
	list_and_load("a", "n", "1.0.0", 1);
	sample("a", 11);
	now.wall_ns += 86400 * SEC;
	pass(4 * SEC);
	sample("a", 11);
	ck_assert_int_eq(status_of("a"), STATUS_RUNNING);
	now.wall_ns -= 2 * 86400 * SEC;
	pass(1 * SEC);
	sample("a", 11);
	ck_assert_int_eq(status_of("a"), STATUS_ROLLED_BACK);
	teardown();
}
END_TEST

/* What is on its way out already is not rolled back as well. */
START_TEST (a_breach_during_an_unload_changes_nothing) {
	setup();
	fleet.rules.rollback_delay_ns = 0;
	list_and_load("a", "n", "1.0.0", 1);
	unload_at_once = false;
	ck_assert_int_eq(fleet_unload(&fleet, "a", now), 0);
	run();
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADING);
	sample("a", 11);
	run();
	ck_assert_int_eq(
	    fleet_rollback(&fleet, "a",
		&(struct rollback_cause){ .reason = ROLLBACK_MANUAL }, now),
	    -EALREADY);
	fleet_unloaded(&fleet, fleet_find_id(&fleet, "a"), now);
	run();
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADED);
	ck_assert_uint_eq(rollback_status_count, 0);
	ck_assert_uint_eq(events[EVENT_PROGRAM_ROLLED_BACK], 0);
	teardown();
}
END_TEST

START_TEST (a_breach_in_probation_restores_the_previous_version) {
	setup();
	fleet.rules.rollback_delay_ns = 0;
	list_and_load("a", "n", "1.0.0", 1);
	pass(1 * SEC);
	list_and_load("b", "n", "1.1.0", 2);
	sample("b", 11);
	run();
	ck_assert_int_eq(status_of("b"), STATUS_ROLLED_BACK);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	ck_assert_str_eq(state.rollbacks[0].restored_version, "1.0.0");
	ck_assert_uint_eq(state.rollbacks[0].threshold, THRESHOLD_MAX_ERRORS);
	teardown();
}
END_TEST

START_TEST (rollback_is_complete_only_when_the_kernel_let_go) {
	setup();
	list_and_load("a", "n", "1.0.0", 1);
	unload_at_once = false;
	ck_assert_int_eq(
	    fleet_rollback(&fleet, "a",
		&(struct rollback_cause){ .reason = ROLLBACK_MANUAL }, now),
	    0);
	run();
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADING);
	ck_assert_uint_eq(rollback_status_count, 2);
	ck_assert_int_eq(
	    fleet_rollback(&fleet, "a",
		&(struct rollback_cause){ .reason = ROLLBACK_MANUAL }, now),
	    -EALREADY);
	fleet_unloaded(&fleet, fleet_find_id(&fleet, "a"), now);
	run();
	ck_assert_int_eq(rollback_statuses[2], ROLLBACK_COMPLETED);
	teardown();
}
END_TEST

START_TEST (rollback_in_probation_restores_the_previous_version) {
	setup();
	list_and_load("a", "n", "1.0.0", 1);
	pass(1 * SEC);
	list_and_load("b", "n", "1.1.0", 2);
	pass(1 * SEC);
	ck_assert_int_eq(fleet_rollback(&fleet, "b",
			     &(struct rollback_cause){
				 .reason = ROLLBACK_ORCHESTRATOR_SIGNAL },
			     now),
	    0);
	run();
	ck_assert_int_eq(status_of("b"), STATUS_ROLLED_BACK);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	ck_assert_str_eq(state.rollbacks[0].restored_version, "1.0.0");
	/* Its old TTL goes on, and the list does not take it away. */
	ck_assert_int_eq(
	    fleet_next_deadline(&fleet, now), now.boot_ns + 58 * SEC);
	list_entry("b", "n", "1.1.0", 2);
	poll_list();
	list_entry("b", "n", "1.1.0", 2);
	poll_list();
	list_entry("b", "n", "1.1.0", 2);
	poll_list();
	run();
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	ck_assert_int_eq(status_of("b"), STATUS_ROLLED_BACK);
	teardown();
}
END_TEST

START_TEST (a_restore_that_fails_still_takes_the_bad_one_out) {
	setup();
	list_and_load("a", "n", "1.0.0", 1);
	list_and_load("b", "n", "1.1.0", 2);
	load_result = WORK_TRANSIENT;
	ck_assert_int_eq(
	    fleet_rollback(&fleet, "b",
		&(struct rollback_cause){ .reason = ROLLBACK_MANUAL }, now),
	    0);
	run();
	ck_assert_int_eq(status_of("b"), STATUS_ROLLED_BACK);
	ck_assert_int_eq(status_of("a"), STATUS_FAILED);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 0);
	teardown();
}
END_TEST

START_TEST (after_probation_there_is_nothing_to_restore) {
	setup();
	fleet.rules.default_ttl_sec = 3600;
	list_and_load("a", "n", "1.0.0", 1);
	list_and_load("b", "n", "1.1.0", 2);
	pass(300 * SEC);
	ck_assert_ptr_null(fleet_find_id(&fleet, "a"));
	ck_assert_int_eq(
	    fleet_rollback(&fleet, "b",
		&(struct rollback_cause){ .reason = ROLLBACK_MANUAL }, now),
	    0);
	run();
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 0);
	teardown();
}
END_TEST

START_TEST (signed_limits_tighten_and_never_loosen) {
	setup();
	verified.limits.max_errors = 3;
	verified.limits.max_violations = 1000;
	list_and_load("a", "n", "1.0.0", 1);
	ck_assert(fleet_find_id(&fleet, "a")->limits.max_errors == 3);
	ck_assert(fleet_find_id(&fleet, "a")->limits.max_violations == 100);
	teardown();
}
END_TEST

UNIT_MAIN("fleet_rollback", a_breach_that_holds_over_the_delay_rolls_back,
    clock_steps_do_not_move_a_rollback,
    a_breach_during_an_unload_changes_nothing,
    a_breach_in_probation_restores_the_previous_version,
    rollback_is_complete_only_when_the_kernel_let_go,
    rollback_in_probation_restores_the_previous_version,
    a_restore_that_fails_still_takes_the_bad_one_out,
    after_probation_there_is_nothing_to_restore,
    signed_limits_tighten_and_never_loosen)
