/* SPDX-License-Identifier: ISC */
/*
 * Breaches, rollbacks and what is restored, with a fake clock.
 */
#include <string.h>

#include "tests/unit/fleet_fixture.h"
#include "tests/unit/unit.h"

/* ---- rollback ---- */

/* The only one there was, and it was told. */
static void
rollback_has_completed(void)
{
	ck_assert_uint_eq(rollback_status_count, 3);
	ck_assert_int_eq(rollback_statuses[0], ROLLBACK_INITIATED);
	ck_assert_int_eq(rollback_statuses[1], ROLLBACK_IN_PROGRESS);
	ck_assert_int_eq(rollback_statuses[2], ROLLBACK_COMPLETED);
	ck_assert_uint_eq(state.rollback_count, 1);
	ck_assert_uint_eq(state.rollbacks[0].status, ROLLBACK_COMPLETED);
	ck_assert_uint_eq(events[EVENT_PROGRAM_ROLLED_BACK], 1);
}

START_TEST (a_breach_that_holds_over_the_delay_rolls_back) {
	list_and_load("a", "n", "1.0.0", 1);
	sample("a", 11);
	ck_assert_int_eq(status_of("a"), STATUS_RUNNING);
	ck_assert_int_eq(due_in(), 5 * SEC);
	samples = 0;
	pass(5 * SEC);
	ck_assert_uint_eq(samples, 1); /* it is looked at again, */
	pass(0);
	ck_assert_uint_eq(samples, 1); /* once */
	sample("a", 11);
	ck_assert_int_eq(status_of("a"), STATUS_ROLLED_BACK);
	rollback_has_completed();
	ck_assert_uint_eq(state.rollbacks[0].threshold, THRESHOLD_MAX_ERRORS);
	ck_assert(state.rollbacks[0].value == 11);
	list_only("a", "n", "1.0.0", 1);
	ck_assert_uint_eq(loads, 1);
}
END_TEST

/* Neither starts the delay anew, cuts it short, nor is measured by it. */
START_TEST (clock_steps_do_not_move_a_rollback) {
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
}
END_TEST

/* What is on its way out already is not rolled back as well. */
START_TEST (a_breach_during_an_unload_changes_nothing) {
	fleet.rules.rollback_delay_ns = 0;
	list_and_load("a", "n", "1.0.0", 1);
	unload_at_once = false;
	ck_assert_int_eq(unload("a"), 0);
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADING);
	sample("a", 11);
	ck_assert_int_eq(roll_back("a"), -EALREADY);
	let_go(find("a"));
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADED);
	ck_assert_uint_eq(rollback_status_count, 0);
	ck_assert_uint_eq(events[EVENT_PROGRAM_ROLLED_BACK], 0);
}
END_TEST

START_TEST (a_breach_in_probation_restores_the_previous_version) {
	fleet.rules.rollback_delay_ns = 0;
	list_and_load("a", "n", "1.0.0", 1);
	pass(1 * SEC);
	list_and_load("b", "n", "1.1.0", 2);
	sample("b", 11);
	ck_assert_int_eq(status_of("b"), STATUS_ROLLED_BACK);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	ck_assert_str_eq(state.rollbacks[0].restored_version, "1.0.0");
	ck_assert_uint_eq(state.rollbacks[0].threshold, THRESHOLD_MAX_ERRORS);
}
END_TEST

START_TEST (rollback_is_complete_only_when_the_kernel_let_go) {
	list_and_load("a", "n", "1.0.0", 1);
	unload_at_once = false;
	ck_assert_int_eq(roll_back("a"), 0);
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADING);
	ck_assert_uint_eq(rollback_status_count, 2);
	ck_assert_int_eq(roll_back("a"), -EALREADY);
	let_go(find("a"));
	ck_assert_int_eq(rollback_statuses[2], ROLLBACK_COMPLETED);
}
END_TEST

START_TEST (rollback_in_probation_restores_the_previous_version) {
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
	ck_assert_int_eq(due_in(), 58 * SEC);
	list_only("b", "n", "1.1.0", 2);
	list_only("b", "n", "1.1.0", 2);
	list_only("b", "n", "1.1.0", 2);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	ck_assert_int_eq(status_of("b"), STATUS_ROLLED_BACK);
}
END_TEST

START_TEST (a_restore_that_fails_still_takes_the_bad_one_out) {
	list_and_load("a", "n", "1.0.0", 1);
	list_and_load("b", "n", "1.1.0", 2);
	load_result = WORK_TRANSIENT;
	ck_assert_int_eq(roll_back("b"), 0);
	ck_assert_int_eq(status_of("b"), STATUS_ROLLED_BACK);
	ck_assert_int_eq(status_of("a"), STATUS_FAILED);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 0);
}
END_TEST

START_TEST (after_probation_there_is_nothing_to_restore) {
	fleet.rules.default_ttl_sec = 3600;
	list_and_load("a", "n", "1.0.0", 1);
	list_and_load("b", "n", "1.1.0", 2);
	pass(300 * SEC);
	ck_assert_ptr_null(find("a"));
	ck_assert_int_eq(roll_back("b"), 0);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 0);
}
END_TEST

START_TEST (signed_limits_tighten_and_never_loosen) {
	verified.limits.max_errors = 3;
	verified.limits.max_violations = 1000;
	list_and_load("a", "n", "1.0.0", 1);
	ck_assert(find("a")->limits.max_errors == 3);
	ck_assert(find("a")->limits.max_violations == 100);
}
END_TEST

/* ---- what comes in between ---- */

/* V1 was replaced by V2, in whose place bpfd loads V3 when V2 is rolled
 * back: the restore of V1 waits. */
static struct artifact *
roll_back_while_a_newer_one_loads(void)
{
	struct artifact *newer;

	list_and_load("v1", "n", "1.0.0", 1);
	list_and_load("v2", "n", "1.1.0", 2);
	shell_fails = true;
	list_only("v3", "n", "1.2.0", 3);
	newer = find("v3");
	ck_assert_int_eq(newer->status, STATUS_LOADING);
	ck_assert_int_eq(roll_back("v2"), 0);
	ck_assert(find("v1")->restoring);
	ck_assert_int_eq(status_of("v2"), STATUS_LOADED);
	ck_assert_uint_eq(rollback_status_count, 2);
	shell_fails = false;
	return newer;
}

START_TEST (a_newer_one_that_loads_meanwhile_ends_the_bad_one) {
	struct artifact *newer = roll_back_while_a_newer_one_loads();

	load_done(newer, WORK_OK);
	ck_assert_int_eq(status_of("v3"), STATUS_LOADED);
	ck_assert_int_eq(status_of("v2"), STATUS_ROLLED_BACK);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 1);
	rollback_has_completed();
	ck_assert_str_eq(state.rollbacks[0].restored_version, "");
	/* It is not loaded again, and the last good one is kept still. */
	list_only("v2", "n", "1.1.0", 2);
	ck_assert_int_eq(status_of("v2"), STATUS_ROLLED_BACK);
	ck_assert_int_eq(roll_back("v3"), 0);
	ck_assert_int_eq(status_of("v1"), STATUS_LOADED);
	ck_assert_str_eq(state.rollbacks[1].restored_version, "1.0.0");
	ck_assert_uint_eq(state.rollbacks[1].status, ROLLBACK_COMPLETED);
}
END_TEST

START_TEST (a_newer_one_that_fails_meanwhile_changes_nothing) {
	struct artifact *newer = roll_back_while_a_newer_one_loads();

	load_done(newer, WORK_REFUSED);
	ck_assert_int_eq(status_of("v1"), STATUS_LOADED);
	ck_assert_int_eq(status_of("v2"), STATUS_ROLLED_BACK);
	rollback_has_completed();
	ck_assert_str_eq(state.rollbacks[0].restored_version, "1.0.0");
}
END_TEST

/* The list has gone back to V1 before V3 is there. */
START_TEST (what_is_listed_again_meanwhile_comes_back) {
	struct artifact *newer = roll_back_while_a_newer_one_loads();

	list_only("v1", "n", "1.0.0", 1);
	load_done(newer, WORK_OK);
	ck_assert_int_eq(status_of("v1"), STATUS_LOADED);
	ck_assert_int_eq(status_of("v3"), STATUS_UNLOADED);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 1);
	rollback_has_completed();
}
END_TEST

/* Other parameters are no other program: they go with it. */
START_TEST (other_parameters_that_load_meanwhile_go_too) {
	struct artifact *newer;

	list_and_load("v1", "n", "1.0.0", 1);
	list_params(list_entry("v2", "n", "1.1.0", 2), 1);
	poll_list();
	shell_fails = true;
	list_params(list_entry("v2", "n", "1.1.0", 2), 2);
	poll_list();
	newer = newest();
	newer->load_anew = true; /* bpfd cannot change them in place */
	ck_assert_int_eq(roll_back("v2"), 0);
	shell_fails = false;
	fleet_load_done(&fleet, newer, WORK_OK, "", now);
	/* Without a gap: until V1 is there it stays. */
	ck_assert(newer->rolling_back);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 1);
	run();
	ck_assert_int_eq(status_of("v1"), STATUS_LOADED);
	ck_assert_int_eq(newer->status, STATUS_ROLLED_BACK);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 1);
	rollback_has_completed();
	ck_assert_str_eq(state.rollbacks[0].restored_version, "1.0.0");
	list_params(list_entry("v2", "n", "1.1.0", 2), 3);
	poll_list();
	ck_assert_int_eq(status_of("v1"), STATUS_LOADED);
}
END_TEST

/* V1's time ends while its restore waits for a loader. */
START_TEST (a_restore_that_expires_still_takes_the_bad_one_out) {
	struct artifact *newer;

	fleet.rules.default_ttl_sec = 3600;
	newer = roll_back_while_a_newer_one_loads();
	find("v1")->ttl_sec = 30;
	pass(30 * SEC);
	ck_assert_int_eq(status_of("v1"), STATUS_EXPIRED);
	ck_assert_int_eq(status_of("v2"), STATUS_ROLLED_BACK);
	rollback_has_completed();
	load_done(newer, WORK_OK);
	ck_assert_int_eq(status_of("v3"), STATUS_LOADED);
}
END_TEST

START_TEST (a_bad_one_that_is_withdrawn_has_been_rolled_back) {
	list_and_load("v1", "n", "1.0.0", 1);
	list_and_load("v2", "n", "1.1.0", 2);
	shell_fails = true;
	ck_assert_int_eq(roll_back("v2"), 0);
	poll_list();
	poll_list();
	ck_assert_int_eq(status_of("v2"), STATUS_ROLLED_BACK);
	rollback_has_completed();
}
END_TEST

START_TEST (a_shutdown_finishes_a_rollback) {
	struct artifact *newer = roll_back_while_a_newer_one_loads();

	fleet_stop(&fleet, now);
	run();
	ck_assert_int_eq(status_of("v2"), STATUS_ROLLED_BACK);
	rollback_has_completed();
	/* What bpfd is at is waited for, and goes at once. */
	ck_assert(!fleet_is_empty(&fleet));
	load_done(newer, WORK_OK);
	ck_assert_int_eq(newer->status, STATUS_UNLOADED);
	ck_assert_int_eq(newer->unload_reason, UNLOAD_SHUTDOWN);
	ck_assert(fleet_is_empty(&fleet));
}
END_TEST

UNIT_FIXTURE_MAIN("fleet_rollback", setup, teardown,
    a_breach_that_holds_over_the_delay_rolls_back,
    clock_steps_do_not_move_a_rollback,
    a_breach_during_an_unload_changes_nothing,
    a_breach_in_probation_restores_the_previous_version,
    rollback_is_complete_only_when_the_kernel_let_go,
    rollback_in_probation_restores_the_previous_version,
    a_restore_that_fails_still_takes_the_bad_one_out,
    after_probation_there_is_nothing_to_restore,
    signed_limits_tighten_and_never_loosen,
    a_newer_one_that_loads_meanwhile_ends_the_bad_one,
    a_newer_one_that_fails_meanwhile_changes_nothing,
    what_is_listed_again_meanwhile_comes_back,
    other_parameters_that_load_meanwhile_go_too,
    a_restore_that_expires_still_takes_the_bad_one_out,
    a_bad_one_that_is_withdrawn_has_been_rolled_back,
    a_shutdown_finishes_a_rollback)
