/* SPDX-License-Identifier: ISC */
/*
 * Ends that stand whatever the parameters, where the same artifact is on its
 * way with others meanwhile; and who may keep what is not listed any more.
 */
#include <string.h>

#include "agentd/handover.h"
#include "tests/unit/fleet_fixture.h"
#include "tests/unit/unit.h"

static void
list_with(unsigned int digit)
{
	list_params(list_entry("a", "n", "1.0.0", 1), digit);
	poll_list();
	run();
}

static struct artifact *
newest(void)
{
	return TAILQ_LAST(&fleet.artifacts, artifact_list);
}

/* Everything is forgotten but the state file, as over a restart. */
static void
restart(void)
{
	struct fleet_rules rules = fleet.rules;

	fleet_fini(&fleet);
	fleet_init(&fleet, &rules, &state, boot_id);
	fleet.can_fetch = fleet.can_verify = fleet.can_load = true;
}

static void
two_more_polls(void)
{
	fleet_list_unchanged(&fleet, now);
	fleet_list_unchanged(&fleet, now);
	run();
}

START_TEST (unloaded_while_the_next_is_downloaded) {
	setup();
	list_with(1);
	fleet.can_fetch = false;
	list_with(2);
	ck_assert_int_eq(fleet_unload(&fleet, "a", now), 0);
	run();
	fleet.can_fetch = true;
	pass(SEC);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 0);
	ck_assert_uint_eq(loads, 1);
	/* Pardoned, the one that is listed comes. */
	ck_assert_int_eq(fleet_pardon(&fleet, "a", now), 0);
	run();
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 1);
	ck_assert_uint_eq(fleet_find_id(&fleet, "a")->params[0], '2');
	teardown();
}
END_TEST

/* The kernel has not let the old one go yet when bpfd answers. */
START_TEST (unloaded_while_it_is_changed) {
	struct artifact *p, *a;

	setup();
	list_with(1);
	p = newest();
	shell_fails = true;
	list_with(2);
	a = newest();
	shell_fails = unload_at_once = false;
	ck_assert_int_eq(fleet_unload(&fleet, "a", now), 0);
	run();
	fleet_load_anew(&fleet, a, now);
	run();
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 0);
	unload_at_once = true;
	fleet_unloaded(&fleet, p, now);
	run();
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 0);
	ck_assert_int_eq(a->status, STATUS_UNLOADED);
	teardown();
}
END_TEST

/* Before its load is done, and after. */
START_TEST (unloaded_while_the_next_is_loaded) {
	struct artifact *p, *a;
	int before;

	for (before = 0; before < 2; before++) {
		setup();
		list_with(1);
		p = newest();
		shell_fails = true;
		list_with(2);
		a = newest();
		a->load_anew = true;
		unload_at_once = false;
		ck_assert_int_eq(fleet_unload(&fleet, "a", now), 0);
		run();
		unload_at_once = true;
		if (before)
			fleet_unloaded(&fleet, p, now);
		fleet_load_done(&fleet, a, WORK_OK, "", now);
		if (!before)
			fleet_unloaded(&fleet, p, now);
		run();
		ck_assert_uint_eq(fleet_loaded_count(&fleet), 0);
		restart();
		list_with(2);
		ck_assert_int_eq(status_of("a"), STATUS_UNLOADED);
		teardown();
	}
}
END_TEST

START_TEST (a_refusal_afterwards_lifts_no_end) {
	const struct rollback_cause cause = { .reason = ROLLBACK_MANUAL };

	setup();
	list_with(1);
	shell_fails = true;
	list_with(2);
	ck_assert_int_eq(fleet_rollback(&fleet, "a", &cause, now), 0);
	run();
	fleet_load_done(&fleet, newest(), WORK_REFUSED, "cannot", now);
	run();
	restart();
	shell_fails = false;
	list_with(1);
	ck_assert_int_eq(status_of("a"), STATUS_ROLLED_BACK);
	teardown();
}
END_TEST

START_TEST (an_old_refusal_narrows_no_later_end) {
	setup();
	load_result = WORK_VERIFIER;
	list_with(1);
	ck_assert_int_eq(status_of("a"), STATUS_ROLLED_BACK);
	load_result = WORK_OK;
	ck_assert_int_eq(fleet_pardon(&fleet, "a", now), 0);
	run();
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	ck_assert_int_eq(fleet_unload(&fleet, "a", now), 0);
	run();
	list_with(2);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 0);
	teardown();
}
END_TEST

/* The parameters before are back: the end is of the new ones alone. */
START_TEST (what_a_rollback_restored_is_taken_up) {
	const struct rollback_cause cause = { .reason = ROLLBACK_MANUAL };
	struct handover_artifact h;
	struct artifact *a;
	const char *why;

	setup();
	list_with(1);
	list_with(2);
	ck_assert_int_eq(fleet_rollback(&fleet, "a", &cause, now), 0);
	run();
	a = fleet_find_id(&fleet, "a");
	ck_assert_int_eq(a->status, STATUS_LOADED);
	ck_assert_uint_eq(a->params[0], '1');
	ck_assert(fleet_describe(a, &h));
	restart();
	a = fleet_adopt(&fleet, &h, (const uint8_t *)"1", &verified, now, &why);
	ck_assert_ptr_nonnull(a);
	list_with(2);
	two_more_polls();
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	ck_assert_uint_eq(fleet_find_id(&fleet, "a")->params[0], '1');
	teardown();
}
END_TEST

/* It was to replace nothing: what is withdrawn later does not stay for it. */
START_TEST (a_failed_neighbour_keeps_nothing) {
	setup();
	list_and_load("a", "n", "1.0.0", 1);
	load_result = WORK_REFUSED;
	list_entry("a", "n", "1.0.0", 1);
	list_entry("b", "n", "1.0.0", 2);
	poll_list();
	run();
	ck_assert_int_eq(status_of("b"), STATUS_FAILED);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	list_entry("b", "n", "1.0.0", 2);
	poll_list();
	two_more_polls();
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 0);
	teardown();
}
END_TEST

/* Only bpfd's death can have left half of them written. */
START_TEST (a_dead_verifier_leaves_nothing_half_changed) {
	struct artifact *a;

	setup();
	list_with(1);
	fleet.can_verify = false;
	list_with(2);
	a = newest();
	a->working = true;
	ck_assert_int_eq(a->status, STATUS_VERIFYING);
	fleet_worker_died(&fleet, PROC_VERIFY, "killed by signal 9", now);
	ck_assert(!a->half_changed);
	shell_fails = true;
	fleet.can_verify = true;
	pass(SEC);
	ck_assert_int_eq(a->status, STATUS_LOADING);
	fleet_worker_died(&fleet, PROC_BPF, "killed by signal 9", now);
	ck_assert(a->half_changed);
	teardown();
}
END_TEST

/* A third version comes while the first is about to be brought back. */
START_TEST (a_newer_one_does_not_stop_a_restore) {
	const struct rollback_cause cause = { .reason = ROLLBACK_MANUAL };
	struct artifact *first, *bad;

	setup();
	list_and_load("a", "n", "1.0.0", 1);
	first = newest();
	list_and_load("a", "n", "2.0.0", 2);
	bad = newest();
	/* bpfd is at another one. */
	shell_fails = true;
	list_entry("a", "n", "2.0.0", 2);
	list_entry("z", "z", "1.0.0", 9);
	poll_list();
	run();
	ck_assert_int_eq(fleet_rollback(&fleet, "a", &cause, now), 0);
	run();
	fleet.can_fetch = false;
	list_entry("a", "n", "3.0.0", 3);
	list_entry("z", "z", "1.0.0", 9);
	poll_list();
	run();
	shell_fails = false;
	fleet_load_done(&fleet, fleet_find_id(&fleet, "z"), WORK_OK, "", now);
	run();
	ck_assert_int_eq(first->status, STATUS_LOADED);
	ck_assert_int_eq(bad->status, STATUS_ROLLED_BACK);
	/* The newer one is still to come: until then the first stays. */
	fleet_list_unchanged(&fleet, now);
	two_more_polls();
	ck_assert_int_eq(first->status, STATUS_LOADED);
	fleet.can_fetch = true;
	pass(SEC);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 2);
	ck_assert_str_eq(fleet_find_id(&fleet, "a")->listing.version, "3.0.0");
	teardown();
}
END_TEST

UNIT_MAIN("fleet_ends", unloaded_while_the_next_is_downloaded,
    unloaded_while_it_is_changed, unloaded_while_the_next_is_loaded,
    a_refusal_afterwards_lifts_no_end, an_old_refusal_narrows_no_later_end,
    what_a_rollback_restored_is_taken_up, a_failed_neighbour_keeps_nothing,
    a_dead_verifier_leaves_nothing_half_changed,
    a_newer_one_does_not_stop_a_restore)
