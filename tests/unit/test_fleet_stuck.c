/* SPDX-License-Identifier: ISC */
/*
 * What the kernel does not let go is not unloaded: told, kept, and finished
 * when it has gone.
 */
#include <string.h>

#include "agentd/handover.h"
#include "tests/unit/fleet_fixture.h"
#include "tests/unit/unit.h"

#define REFUSAL "the tc filter cannot be removed: Operation not permitted"

static const struct rollback_cause by_hand = { .reason = ROLLBACK_MANUAL };

static struct artifact *
load_one(void)
{
	setup();
	list_and_load("a", "n", "1.0.0", 1);
	unload_at_once = false;
	return fleet_find_id(&fleet, "a");
}

static void
refuse(struct artifact *a)
{
	fleet_unload_refused(&fleet, a, REFUSAL, now);
	run();
}

static void
has_gone(struct artifact *a)
{
	fleet_unloaded(&fleet, a, now);
	run();
}

START_TEST (it_is_not_unloaded_before_it_has_gone) {
	struct artifact *a = load_one();

	ck_assert_int_eq(fleet_unload(&fleet, "a", now), 0);
	run();
	refuse(a);
	ck_assert_int_eq(a->status, STATUS_UNLOADING);
	ck_assert_str_eq(a->error, REFUSAL);
	ck_assert_uint_eq(events[EVENT_PROGRAM_ERROR], 1);
	ck_assert_uint_eq(events[EVENT_PROGRAM_UNLOADED], 0);
	refuse(a); /* the next try: told once */
	ck_assert_uint_eq(events[EVENT_PROGRAM_ERROR], 1);
	/* Neither time nor the list changes that. */
	poll_list();
	poll_list();
	pass(3600 * SEC);
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADING);
	has_gone(a);
	ck_assert_int_eq(a->status, STATUS_UNLOADED);
	ck_assert_ptr_null(a->error);
	ck_assert_uint_eq(events[EVENT_PROGRAM_UNLOADED], 1);
	teardown();
}
END_TEST

START_TEST (a_rollback_has_failed_until_it_has_gone) {
	struct artifact *a = load_one();

	ck_assert_int_eq(fleet_rollback(&fleet, "a", &by_hand, now), 0);
	run();
	refuse(a);
	refuse(a);
	ck_assert_uint_eq(rollback_status_count, 3);
	ck_assert_int_eq(rollback_statuses[2], ROLLBACK_FAILED);
	ck_assert_uint_eq(state.rollbacks[0].status, ROLLBACK_FAILED);
	ck_assert_str_eq(state.rollbacks[0].error, REFUSAL);
	ck_assert_uint_eq(events[EVENT_PROGRAM_ROLLED_BACK], 0);
	ck_assert_int_eq(fleet_rollback(&fleet, "a", &by_hand, now), -EALREADY);
	has_gone(a);
	ck_assert_uint_eq(rollback_status_count, 4);
	ck_assert_int_eq(rollback_statuses[3], ROLLBACK_COMPLETED);
	ck_assert_uint_eq(state.rollback_count, 1);
	ck_assert_uint_eq(state.rollbacks[0].status, ROLLBACK_COMPLETED);
	ck_assert_str_eq(state.rollbacks[0].error, "");
	ck_assert_int_eq(status_of("a"), STATUS_ROLLED_BACK);
	teardown();
}
END_TEST

/* agentd dies before it has gone: the next one does not load it again. */
START_TEST (its_end_is_remembered_at_once) {
	const struct state_artifact *s;
	struct artifact *a = load_one();

	ck_assert_int_eq(fleet_rollback(&fleet, "a", &by_hand, now), 0);
	run();
	refuse(a);
	s = state_artifact_find(&state, "a", a->listing.sha256);
	ck_assert_ptr_nonnull(s);
	ck_assert_uint_eq(s->tombstone, STATUS_ROLLED_BACK);
	teardown();
	a = load_one();
	pass(60 * SEC);
	ck_assert_int_eq(a->status, STATUS_UNLOADING);
	refuse(a);
	s = state_artifact_find(&state, "a", a->listing.sha256);
	ck_assert_ptr_nonnull(s);
	ck_assert_uint_eq(s->tombstone, STATUS_EXPIRED);
	teardown();
}
END_TEST

/* Its place is taken, but none that is about to become free. */
START_TEST (others_do_not_wait_for_it) {
	struct artifact *a = load_one();

	list_entry("a", "n", "1.0.0", 1);
	list_entry("b", "m", "1.0.0", 2);
	poll_list();
	run();
	ck_assert_int_eq(fleet_unload(&fleet, "a", now), 0);
	run();
	refuse(a);
	list_entry("a", "n", "1.0.0", 1);
	list_entry("b", "m", "1.0.0", 2);
	list_entry("c", "o", "1.0.0", 3);
	unload_at_once = true;
	poll_list();
	run();
	ck_assert_int_eq(status_of("c"), STATUS_LOADED);
	ck_assert_int_eq(status_of("b"), STATUS_UNLOADED);
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADING);
	teardown();
}
END_TEST

START_TEST (a_shutdown_does_not_wait_for_it) {
	struct artifact *a = load_one();

	fleet_stop(&fleet, now);
	run();
	ck_assert(!fleet_is_empty(&fleet));
	refuse(a);
	ck_assert(fleet_is_empty(&fleet));
	ck_assert_int_eq(a->status, STATUS_UNLOADING);
	ck_assert_uint_eq(events[EVENT_PROGRAM_UNLOADED], 0);
	teardown();
}
END_TEST

/* A late refusal of something that was not asked. */
START_TEST (what_runs_is_not_touched) {
	struct artifact *a = load_one();

	refuse(a);
	ck_assert_int_eq(a->status, STATUS_LOADED);
	ck_assert(!a->stuck);
	ck_assert_ptr_null(a->error);
	teardown();
}
END_TEST

/* ---- agentd ends before the rollback does ---- */

START_TEST (the_next_agentd_finishes_a_rollback) {
	const struct snapshot_rollback *r;
	struct artifact *a = load_one();

	ck_assert_int_eq(fleet_rollback(&fleet, "a", &by_hand, now), 0);
	run();
	ck_assert_int_eq(a->status, STATUS_UNLOADING);
	ck_assert_ptr_null(fleet_finish_rollback(&fleet)); /* not its own */
	restart();
	fleet_recall_rollbacks(&fleet);
	run();
	/* The list may be there before bpfd is. */
	list_entry("a", "n", "1.0.0", 1);
	poll_list();
	run();
	ck_assert_int_eq(status_of("a"), STATUS_ROLLED_BACK);
	ck_assert_uint_eq(state.rollbacks[0].status, ROLLBACK_IN_PROGRESS);
	r = fleet_finish_rollback(&fleet);
	ck_assert_ptr_nonnull(r);
	ck_assert_str_eq(r->artifact_id, "a");
	ck_assert_uint_eq(state.rollbacks[0].status, ROLLBACK_COMPLETED);
	ck_assert_ptr_null(fleet_finish_rollback(&fleet));
	teardown();
}
END_TEST

START_TEST (one_that_had_failed_too) {
	struct artifact *a = load_one();

	ck_assert_int_eq(fleet_rollback(&fleet, "a", &by_hand, now), 0);
	run();
	refuse(a);
	restart();
	fleet_recall_rollbacks(&fleet);
	ck_assert_ptr_nonnull(fleet_finish_rollback(&fleet));
	ck_assert_str_eq(state.rollbacks[0].error, "");
	teardown();
}
END_TEST

/* Too late to settle, it does not go on under the next one. */
START_TEST (what_is_rolled_back_is_not_handed_over) {
	struct handover_artifact h;
	struct artifact *a;

	setup();
	list_and_load("a", "n", "1.0.0", 1);
	list_and_load("b", "n", "1.1.0", 2);
	shell_fails = true;
	ck_assert_int_eq(fleet_rollback(&fleet, "b", &by_hand, now), 0);
	run();
	a = fleet_find_id(&fleet, "b");
	ck_assert_int_eq(a->status, STATUS_LOADED);
	ck_assert(!fleet_is_settled(&fleet));
	ck_assert(!fleet_describe(a, &h));
	teardown();
}
END_TEST

/* Only its parameters were bad: those that were restored are good. */
START_TEST (restored_parameters_may_load_again) {
	setup();
	list_params(list_entry("a", "n", "1.0.0", 1), 1);
	poll_list();
	run();
	list_params(list_entry("a", "n", "1.0.0", 1), 2);
	poll_list();
	run();
	shell_fails = true;
	ck_assert_int_eq(fleet_rollback(&fleet, "a", &by_hand, now), 0);
	run();
	ck_assert_str_eq(state.rollbacks[0].restored_version, "1.0.0");
	restart();
	shell_fails = false;
	fleet_recall_rollbacks(&fleet);
	list_params(list_entry("a", "n", "1.0.0", 1), 1);
	poll_list();
	run();
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	teardown();
}
END_TEST

UNIT_MAIN("fleet_stuck", it_is_not_unloaded_before_it_has_gone,
    a_rollback_has_failed_until_it_has_gone, its_end_is_remembered_at_once,
    others_do_not_wait_for_it, a_shutdown_does_not_wait_for_it,
    what_runs_is_not_touched, the_next_agentd_finishes_a_rollback,
    one_that_had_failed_too, what_is_rolled_back_is_not_handed_over,
    restored_parameters_may_load_again)
