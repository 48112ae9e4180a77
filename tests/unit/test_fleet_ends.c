/* SPDX-License-Identifier: ISC */
/*
 * Ends that stand whatever the parameters, where the same artifact is on its
 * way with others meanwhile; and who may keep what is not listed any more.
 */
#include <string.h>

#include "agentd/handover.h"
#include "tests/unit/fleet_fixture.h"
#include "tests/unit/unit.h"

START_TEST (unloaded_while_the_next_is_downloaded) {
	list_with(1);
	fleet.can_fetch = false;
	list_with(2);
	ck_assert_int_eq(unload("a"), 0);
	fleet.can_fetch = true;
	pass(SEC);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 0);
	ck_assert_uint_eq(loads, 1);
	/* Pardoned, the one that is listed comes. */
	ck_assert_int_eq(pardon("a"), 0);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 1);
	ck_assert_uint_eq(find("a")->params[0], '2');
}
END_TEST

/* The kernel has not let the old one go yet when bpfd answers. */
START_TEST (unloaded_while_it_is_changed) {
	struct artifact *p, *a;

	list_with(1);
	p = newest();
	a = list_and_hold(2);
	shell_fails = unload_at_once = false;
	ck_assert_int_eq(unload("a"), 0);
	fleet_load_anew(&fleet, a, now);
	run();
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 0);
	unload_at_once = true;
	let_go(p);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 0);
	ck_assert_int_eq(a->status, STATUS_UNLOADED);
}
END_TEST

/* By an operator; the kernel lets go before the load is done, or after. */
static void
unload_while_the_next_is_loaded(bool before)
{
	struct artifact *p, *a;

	list_with(1);
	p = newest();
	a = list_and_hold(2);
	a->load_anew = true;
	unload_at_once = false;
	ck_assert_int_eq(unload("a"), 0);
	unload_at_once = true;
	if (before)
		fleet_unloaded(&fleet, p, now);
	load_done(a, WORK_OK);
	if (!before)
		let_go(p);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 0);
	restart();
	list_with(2);
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADED);
}

START_TEST (unloaded_before_the_next_is_loaded) {
	unload_while_the_next_is_loaded(true);
}
END_TEST

START_TEST (unloaded_after_the_next_is_loaded) {
	unload_while_the_next_is_loaded(false);
}
END_TEST

START_TEST (a_refusal_afterwards_lifts_no_end) {
	list_with(1);
	(void)list_and_hold(2);
	ck_assert_int_eq(roll_back("a"), 0);
	load_done(newest(), WORK_REFUSED);
	restart();
	shell_fails = false;
	list_with(1);
	ck_assert_int_eq(status_of("a"), STATUS_ROLLED_BACK);
}
END_TEST

START_TEST (an_old_refusal_narrows_no_later_end) {
	load_result = WORK_VERIFIER;
	list_with(1);
	ck_assert_int_eq(status_of("a"), STATUS_ROLLED_BACK);
	load_result = WORK_OK;
	ck_assert_int_eq(pardon("a"), 0);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	ck_assert_int_eq(unload("a"), 0);
	list_with(2);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 0);
}
END_TEST

/* The parameters before are back: the end is of the new ones alone. */
START_TEST (what_a_rollback_restored_is_taken_up) {
	struct handover_artifact h;
	struct artifact *a;
	const char *why;

	list_with(1);
	list_with(2);
	ck_assert_int_eq(roll_back("a"), 0);
	a = find("a");
	ck_assert_int_eq(a->status, STATUS_LOADED);
	ck_assert_uint_eq(a->params[0], '1');
	ck_assert(fleet_describe(a, &h));
	restart();
	a = fleet_adopt(&fleet, &h, (const uint8_t *)"1", &verified, now, &why);
	ck_assert_ptr_nonnull(a);
	list_with(2);
	poll_unchanged(2);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	ck_assert_uint_eq(find("a")->params[0], '1');
}
END_TEST

/* It was to replace nothing: what is withdrawn later does not stay for it. */
START_TEST (a_failed_neighbour_keeps_nothing) {
	list_and_load("a", "n", "1.0.0", 1);
	load_result = WORK_REFUSED;
	list_entry("a", "n", "1.0.0", 1);
	list_entry("b", "n", "1.0.0", 2);
	poll_list();
	ck_assert_int_eq(status_of("b"), STATUS_FAILED);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	list_only("b", "n", "1.0.0", 2);
	poll_unchanged(2);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 0);
}
END_TEST

/* Only bpfd's death can have left half of them written. */
START_TEST (a_dead_verifier_leaves_nothing_half_changed) {
	struct artifact *a;

	list_with(1);
	fleet.can_verify = false;
	list_with(2);
	a = newest();
	a->working = true;
	ck_assert_int_eq(a->status, STATUS_VERIFYING);
	worker_died(PROC_VERIFY);
	ck_assert(!a->half_changed);
	shell_fails = true;
	fleet.can_verify = true;
	pass(SEC);
	ck_assert_int_eq(a->status, STATUS_LOADING);
	worker_died(PROC_BPF);
	ck_assert(a->half_changed);
}
END_TEST

/* A third version comes while the first is about to be brought back. */
START_TEST (a_newer_one_does_not_stop_a_restore) {
	struct artifact *first, *bad;

	list_and_load("a", "n", "1.0.0", 1);
	first = newest();
	list_and_load("a", "n", "2.0.0", 2);
	bad = newest();
	/* bpfd is at another one. */
	shell_fails = true;
	list_entry("a", "n", "2.0.0", 2);
	list_entry("z", "z", "1.0.0", 9);
	poll_list();
	ck_assert_int_eq(roll_back("a"), 0);
	fleet.can_fetch = false;
	list_entry("a", "n", "3.0.0", 3);
	list_entry("z", "z", "1.0.0", 9);
	poll_list();
	load_done(find("z"), WORK_OK);
	ck_assert_int_eq(first->status, STATUS_LOADED);
	ck_assert_int_eq(bad->status, STATUS_ROLLED_BACK);
	/* The newer one is still to come: until then the first stays. */
	poll_unchanged(3);
	ck_assert_int_eq(first->status, STATUS_LOADED);
	fleet.can_fetch = true;
	pass(SEC);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 2);
	ck_assert_str_eq(find("a")->listing.version, "3.0.0");
}
END_TEST

UNIT_FIXTURE_MAIN("fleet_ends", setup, teardown,
    unloaded_while_the_next_is_downloaded, unloaded_while_it_is_changed,
    unloaded_before_the_next_is_loaded, unloaded_after_the_next_is_loaded,
    a_refusal_afterwards_lifts_no_end, an_old_refusal_narrows_no_later_end,
    what_a_rollback_restored_is_taken_up, a_failed_neighbour_keeps_nothing,
    a_dead_verifier_leaves_nothing_half_changed,
    a_newer_one_does_not_stop_a_restore)
