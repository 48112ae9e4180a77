/* SPDX-License-Identifier: ISC */
/*
 * What the kernel does not let go is not unloaded: told, kept, and finished
 * when it has gone.
 */
#include <string.h>

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

UNIT_MAIN("fleet_stuck", it_is_not_unloaded_before_it_has_gone,
    a_rollback_has_failed_until_it_has_gone, its_end_is_remembered_at_once,
    others_do_not_wait_for_it, a_shutdown_does_not_wait_for_it,
    what_runs_is_not_touched)
