/* SPDX-License-Identifier: ISC */
/*
 * The life of artifacts, with a fake clock and without processes: what the
 * fleet wants done after what happened.
 */
#include <string.h>

#include "tests/unit/fleet_fixture.h"
#include "tests/unit/unit.h"

/* ---- the straight way ---- */

START_TEST (listed_is_loaded_and_then_running) {
	list_and_load("a", "n", "1.0.0", 1);
	ck_assert_uint_eq(events[EVENT_PROGRAM_LOADED], 1);
	ck_assert_uint_eq(samples, 1);
	sample("a", 0);
	ck_assert_int_eq(status_of("a"), STATUS_RUNNING);
	ck_assert_uint_eq(events[EVENT_PROGRAM_TELEMETRY], 1);
	/* The same list again changes nothing. */
	list_only("a", "n", "1.0.0", 1);
	ck_assert_uint_eq(loads, 1);
	ck_assert_int_eq(status_of("a"), STATUS_RUNNING);
}
END_TEST

START_TEST (ttl_ends_it_to_the_nanosecond_and_for_good) {
	list_and_load("a", "n", "1.0.0", 1);
	ck_assert_int_eq(due_in(), 60 * SEC);
	pass(60 * SEC - 1);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	pass(1);
	ck_assert_int_eq(status_of("a"), STATUS_EXPIRED);
	ck_assert_uint_eq(events[EVENT_PROGRAM_UNLOADED], 1);
	list_only("a", "n", "1.0.0", 1);
	ck_assert_uint_eq(loads, 1);
	/* Another checksum under the same id is another artifact. */
	list_and_load("a", "n", "1.0.1", 2);
	ck_assert_uint_eq(loads, 2);
}
END_TEST

START_TEST (ttl_goes_on_over_a_restart_of_the_agent) {
	list_and_load("a", "n", "1.0.0", 1);
	pass(20 * SEC);
	restart();
	list_and_load("a", "n", "1.0.0", 1);
	ck_assert_int_eq(due_in(), 40 * SEC);
	pass(40 * SEC);
	ck_assert_int_eq(status_of("a"), STATUS_EXPIRED);
	/* And the tombstone, too. */
	restart();
	list_only("a", "n", "1.0.0", 1);
	ck_assert_int_eq(status_of("a"), STATUS_EXPIRED);
	ck_assert_uint_eq(loads, 2);
}
END_TEST

START_TEST (entry_and_signed_maximum_bound_the_ttl) {
	list_entry("a", "n", "1.0.0", 1)->ttl_sec = 10;
	list_entry("b", "m", "1.0.0", 2)->ttl_sec = 0;
	poll_list();
	ck_assert_int_eq(find("a")->ttl_sec, 10);
	ck_assert(artifact_expires_boot_ns(find("b")) == INT64_MAX);
	verified.max_ttl_sec = 5;
	list_entry("a", "n", "1.0.0", 1)->ttl_sec = 10;
	list_entry("b", "m", "1.0.1", 3)->ttl_sec = 0;
	poll_list();
	ck_assert_int_eq(find("b")->ttl_sec, 5);
}
END_TEST

START_TEST (clock_steps_do_not_move_a_ttl) {
	list_and_load("a", "n", "1.0.0", 1);
	now.wall_ns += 86400 * SEC;
	pass(59 * SEC);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	now.wall_ns -= 2 * 86400 * SEC;
	pass(1 * SEC);
	ck_assert_int_eq(status_of("a"), STATUS_EXPIRED);
}
END_TEST

/* ---- failures ---- */

START_TEST (transient_failures_back_off_and_are_told_once) {
	int i;

	fetch_result = WORK_TRANSIENT;
	list_only("a", "n", "1.0.0", 1);
	ck_assert_int_eq(status_of("a"), STATUS_DISCOVERED);
	for (i = 1; i <= 64; i *= 2) {
		ck_assert_int_eq(due_in(), i * SEC);
		pass(i * SEC);
	}
	ck_assert_uint_eq(events[EVENT_PROGRAM_ERROR], 1);
	fetch_result = WORK_OK;
	pass(128 * SEC);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	ck_assert_ptr_null(find("a")->error);
}
END_TEST

START_TEST (a_refused_artifact_holds_up_no_other) {
	verify_result = WORK_REFUSED;
	list_only("bad", "n", "1.0.0", 1);
	verify_result = WORK_OK;
	list_entry("bad", "n", "1.0.0", 1);
	list_entry("good", "m", "1.0.0", 2);
	poll_list();
	ck_assert_int_eq(status_of("bad"), STATUS_FAILED);
	ck_assert_int_eq(status_of("good"), STATUS_LOADED);
	ck_assert_uint_eq(events[EVENT_PROGRAM_ERROR], 1);
	ck_assert_uint_eq(loads, 1);
	/* For good, until it changes or is pardoned. */
	pass(3600 * SEC);
	ck_assert_int_eq(status_of("bad"), STATUS_FAILED);
	ck_assert_int_eq(pardon("bad"), 0);
	ck_assert_int_eq(status_of("bad"), STATUS_LOADED);
	ck_assert_int_eq(pardon("nobody"), -ENOENT);
}
END_TEST

START_TEST (verifier_failure_is_a_rollback_by_configuration) {
	load_result = WORK_VERIFIER;
	list_only("a", "n", "1.0.0", 1);
	ck_assert_int_eq(status_of("a"), STATUS_ROLLED_BACK);
	ck_assert_uint_eq(events[EVENT_PROGRAM_ROLLED_BACK], 1);
	ck_assert_uint_eq(state.rollback_count, 1);
	ck_assert_uint_eq(state.rollbacks[0].reason, ROLLBACK_VERIFIER_FAILURE);
	fleet.rules.rollback_verifier_failure = false;
	list_only("b", "m", "1.0.0", 2);
	ck_assert_int_eq(status_of("b"), STATUS_FAILED);
}
END_TEST

START_TEST (downgrades_need_a_word_of_the_operator) {
	list_and_load("a", "n", "2.0.0", 1);
	list_only("a", "n", "1.9.0", 2);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED); /* the old one */
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 1);
	ck_assert_uint_eq(events[EVENT_PROGRAM_ERROR], 1);
	ck_assert_int_eq(state_name_allow_downgrade(&state, "n", "1.9.0"), 0);
	ck_assert_int_eq(pardon("a"), 0);
	ck_assert_str_eq(find("a")->listing.version, "1.9.0");
}
END_TEST

START_TEST (a_pardon_is_no_leave_for_a_downgrade) {
	list_and_load("a", "n", "2.0.0", 1);
	list_only("a", "n", "1.9.0", 2);
	ck_assert_int_eq(pardon("a"), 0);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 1);
	ck_assert_str_eq(find("a")->listing.version, "2.0.0");
}
END_TEST

/* The one with id X, and the error it failed with. */
static const char *
failed_with(const char *id)
{
	ck_assert_int_eq(status_of(id), STATUS_FAILED);
	return find(id)->error;
}

START_TEST (a_lower_sequence_is_a_downgrade) {
	verified.sequence = 7;
	list_and_load("a", "n", "2.0.0", 1);
	ck_assert_uint_eq(state_name_find(&state, "n")->highest_sequence, 7);
	/* Of the same version: only the sequence tells them apart. */
	verified.sequence = 6;
	list_entry("a", "n", "2.0.0", 1);
	list_entry("b", "n", "2.0.0", 2);
	poll_list();
	ck_assert_str_eq(failed_with("b"),
	    "sequence 6 of version 2.0.0 is lower than 7, which was accepted "
	    "before: a downgrade needs 'aegisctl allow-downgrade n 2.0.0'");
	/* One without a number is of before there were numbers. */
	verified.sequence = 0;
	list_entry("a", "n", "2.0.0", 1);
	list_entry("c", "n", "2.0.0", 3);
	poll_list();
	ck_assert_ptr_nonnull(strstr(failed_with("c"), "carries none"));
	/* Of another name: its own numbers. */
	verified.sequence = 1;
	list_entry("a", "n", "2.0.0", 1);
	list_entry("d", "m", "1.0.0", 4);
	poll_list();
	ck_assert_int_eq(status_of("d"), STATUS_LOADED);
}
END_TEST

START_TEST (a_lower_sequence_may_be_allowed_once) {
	verified.sequence = 7;
	list_and_load("a", "n", "2.0.0", 1);
	verified.sequence = 6;
	list_entry("a", "n", "2.0.0", 1);
	list_entry("b", "n", "2.0.0", 2);
	poll_list();
	ck_assert_int_eq(status_of("b"), STATUS_FAILED);
	ck_assert_int_eq(state_name_allow_downgrade(&state, "n", "2.0.0"), 0);
	ck_assert_int_eq(pardon("b"), 0);
	ck_assert_int_eq(status_of("b"), STATUS_LOADED);
	/* Once: the next one needs its own leave; the number stays. */
	ck_assert_uint_eq(state_name_find(&state, "n")->highest_sequence, 7);
	ck_assert_str_eq(state_name_find(&state, "n")->allow_downgrade, "");
	list_entry("a", "n", "2.0.0", 1);
	list_entry("b", "n", "2.0.0", 2);
	list_entry("c", "n", "2.0.0", 3);
	poll_list();
	ck_assert_int_eq(status_of("c"), STATUS_FAILED);
	/* What was accepted stays good. */
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
}
END_TEST

START_TEST (a_checksum_mismatch_is_fetched_anew) {
	unsigned int tries;

	verify_result = WORK_MISMATCH;
	list_only("a", "n", "1.0.0", 1);
	for (tries = 1; status_of("a") != STATUS_FAILED; tries++) {
		ck_assert_int_eq(status_of("a"), STATUS_DISCOVERED);
		ck_assert_int_eq(due_in(), (INT64_C(1) << (tries - 1)) * SEC);
		pass(due_in());
	}
	ck_assert_uint_eq(tries, 6);
	/* Told once, and over: it survives a restart. */
	ck_assert_uint_eq(events[EVENT_PROGRAM_ERROR], 1);
	ck_assert_uint_eq(
	    state.artifacts[0]->tombstone, (uint32_t)STATUS_FAILED);
}
END_TEST

START_TEST (a_registry_that_lists_first_is_waited_for) {
	verify_result = WORK_MISMATCH;
	list_only("a", "n", "1.0.0", 1);
	verify_result = WORK_OK;
	pass(SEC);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
}
END_TEST

START_TEST (not_after_is_enforced) {
	verified.not_after_wall_ns = now.wall_ns - 1;
	list_only("a", "n", "1.0.0", 1);
	ck_assert_int_eq(status_of("a"), STATUS_FAILED);
	ck_assert_ptr_nonnull(strstr(find("a")->error, "not_after"));
}
END_TEST

START_TEST (a_dead_worker_costs_a_retry_and_three_the_artifact) {
	int i;

	shell_fails = true;
	list_only("a", "n", "1.0.0", 1);
	for (i = 0; i < 2; i++) {
		ck_assert(find("a")->working);
		worker_died(PROC_BPF);
		ck_assert_int_eq(status_of("a"), STATUS_LOADING);
	}
	ck_assert_uint_eq(loads, 3);
	worker_died(PROC_BPF);
	ck_assert_int_eq(status_of("a"), STATUS_FAILED);
	ck_assert_uint_eq(loads, 3);
}
END_TEST

START_TEST (a_worker_that_does_not_answer_is_killed) {
	shell_fails = true;
	list_only("a", "n", "1.0.0", 1);
	pass(due_in());
	ck_assert_uint_eq(kills, 1);
	worker_died(PROC_BPF);
	ck_assert_int_eq(status_of("a"), STATUS_FAILED);
}
END_TEST

START_TEST (late_answers_are_ignored) {
	struct artifact *a;

	list_and_load("a", "n", "1.0.0", 1);
	a = find("a");
	fleet_fetched(&fleet, a, WORK_OK, "", now);
	fleet_verified(&fleet, a, WORK_REFUSED, "late", &verified, now);
	fleet_load_done(&fleet, a, WORK_REFUSED, "late", now);
	let_go(a);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
}
END_TEST

/* ---- the end ---- */

START_TEST (stop_takes_everything_out_and_starts_nothing) {
	list_entry("a", "x", "1.0.0", 1);
	list_entry("b", "y", "1.0.0", 2);
	poll_list();
	unload_at_once = false;
	fleet_stop(&fleet, now);
	run();
	ck_assert(!fleet_is_empty(&fleet));
	fleet_unloaded(&fleet, find("a"), now);
	fleet_unloaded(&fleet, find("b"), now);
	list_only("c", "z", "1.0.0", 3);
	ck_assert(fleet_is_empty(&fleet));
	ck_assert_uint_eq(fleet.unloads[UNLOAD_SHUTDOWN], 2);
	ck_assert_uint_eq(loads, 2);
	/* A shutdown is no tombstone. */
	ck_assert_uint_eq(
	    state_artifact_find(&state, "a", entries[0].sha256) == NULL, 1);
}
END_TEST

UNIT_FIXTURE_MAIN("fleet", setup, teardown, listed_is_loaded_and_then_running,
    ttl_ends_it_to_the_nanosecond_and_for_good,
    ttl_goes_on_over_a_restart_of_the_agent,
    entry_and_signed_maximum_bound_the_ttl, clock_steps_do_not_move_a_ttl,
    transient_failures_back_off_and_are_told_once,
    a_refused_artifact_holds_up_no_other,
    verifier_failure_is_a_rollback_by_configuration,
    downgrades_need_a_word_of_the_operator,
    a_pardon_is_no_leave_for_a_downgrade, a_lower_sequence_is_a_downgrade,
    a_lower_sequence_may_be_allowed_once, a_checksum_mismatch_is_fetched_anew,
    a_registry_that_lists_first_is_waited_for, not_after_is_enforced,
    a_dead_worker_costs_a_retry_and_three_the_artifact,
    a_worker_that_does_not_answer_is_killed, late_answers_are_ignored,
    stop_takes_everything_out_and_starts_nothing)
