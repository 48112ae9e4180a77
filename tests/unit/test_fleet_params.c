/* SPDX-License-Identifier: ISC */
/*
 * The same artifact, listed with other parameters: changed in place, loaded
 * anew, refused; and what a refusal is remembered by.
 */
#include <string.h>

#include "agentd/handover.h"
#include "tests/unit/fleet_fixture.h"
#include "tests/unit/unit.h"

/* The text of A's parameters: the digit. */
static unsigned int
params_of(const struct artifact *a)
{
	ck_assert_uint_eq(a->listing.params_len, 1);
	return a->params[0] - (unsigned int)'0';
}

static unsigned int
record_count(void)
{
	const struct artifact *a;
	unsigned int n = 0;

	TAILQ_FOREACH (a, &fleet.artifacts, entry)
		n++;
	return n;
}

START_TEST (in_place_the_same_program_goes_on) {
	struct artifact *a;
	uint64_t handle;
	int64_t ends;

	in_place = true;
	list_with(1);
	sample("a", 3);
	a = find("a");
	handle = a->handle;
	ends = artifact_expires_boot_ns(a);
	pass(10 * SEC);
	list_with(2);
	a = find("a");
	ck_assert_uint_eq(a->handle, handle);
	ck_assert_uint_eq(params_of(a), 2);
	ck_assert(a->listed);
	ck_assert_uint_eq(loads, 1);
	ck_assert_uint_eq(record_count(), 1);
	ck_assert_uint_eq(a->telemetry.errors, 3);
	ck_assert_int_eq(artifact_expires_boot_ns(a), ends);
	ck_assert_uint_eq(events[EVENT_PROGRAM_LOADED], 2);
	ck_assert_uint_eq(events[EVENT_PROGRAM_UNLOADED], 0);
	ck_assert_str_eq(last_reason, "parameters");
	/* Polls that bring nothing new withdraw nothing. */
	poll_unchanged(2);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 1);
	list_with(1);
	ck_assert_uint_eq(params_of(find("a")), 1);
}
END_TEST

START_TEST (without_a_checksum_it_is_replaced) {
	struct artlist_entry *e;

	in_place = true;
	list_with(1);
	e = list_entry("a", "n", "1.0.0", 1);
	e->has_sha256 = 0;
	list_params(e, 2);
	poll_list();
	ck_assert_uint_eq(loads, 2);
}
END_TEST

START_TEST (what_cannot_be_changed_in_place_is_loaded_anew) {
	struct artifact *a;
	uint64_t first;

	list_with(1);
	first = find("a")->handle;
	a = list_and_hold(2);
	ck_assert_ptr_nonnull(fleet_runs_already(&fleet, a));
	shell_fails = false;
	fleet_load_anew(&fleet, a, now);
	run();
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 1);
	a = find("a");
	ck_assert_uint_ne(a->handle, first);
	ck_assert_uint_eq(params_of(a), 2);
	ck_assert(!a->load_anew);
}
END_TEST

/* The list goes back to the old ones while bpfd is at the new. */
START_TEST (a_list_that_goes_back_meanwhile_is_followed) {
	struct artifact *a, *p;

	in_place = true;
	list_with(1);
	in_place = false;
	shell_fails = true;
	list_with(2);
	list_with(1);
	a = newest();
	p = fleet_runs_already(&fleet, a);
	ck_assert_ptr_nonnull(p);
	in_place = true;
	fleet_params_changed(&fleet, a, p, now);
	run();
	/* No further poll was needed. */
	ck_assert_uint_eq(record_count(), 1);
	ck_assert_uint_eq(params_of(find("a")), 1);
	ck_assert(find("a")->listed);
}
END_TEST

START_TEST (a_list_that_goes_back_while_it_loads_is_followed) {
	struct artifact *a;

	list_with(1);
	shell_fails = true;
	list_with(2);
	list_with(1);
	a = newest();
	load_done(a, WORK_OK);
	poll_unchanged(2);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 1);
	ck_assert_uint_eq(params_of(find("a")), 1);
}
END_TEST

/* Third ones come while bpfd is at the second. */
START_TEST (what_bpfd_is_at_comes_to_its_end_first) {
	struct artifact *second;

	in_place = true;
	list_with(1);
	in_place = false;
	second = list_and_hold(2);
	list_with(3);
	in_place = true;
	ck_assert_int_eq(second->status, STATUS_LOADING);
	fleet_params_changed(
	    &fleet, second, fleet_runs_already(&fleet, second), now);
	run();
	ck_assert_uint_eq(record_count(), 1);
	ck_assert_uint_eq(params_of(find("a")), 3);
	ck_assert_uint_eq(loads, 2); /* the one that got no answer */
}
END_TEST

START_TEST (what_is_rolled_back_meanwhile_stays_out) {
	struct artifact *a;

	list_with(1);
	a = list_and_hold(2);
	ck_assert_int_eq(roll_back("a"), 0);
	ck_assert_ptr_null(fleet_runs_already(&fleet, a));
	shell_fails = false;
	fleet_load_anew(&fleet, a, now);
	run();
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 0);
	ck_assert_int_eq(a->status, STATUS_ROLLED_BACK);
}
END_TEST

START_TEST (refused_ones_keep_what_runs_and_better_ones_are_tried) {
	struct artifact *p;

	list_with(1);
	verify_result = WORK_REFUSED;
	list_with(2);
	ck_assert_uint_eq(events[EVENT_PROGRAM_ERROR], 1);
	poll_unchanged(2);
	p = find("a");
	ck_assert_int_eq(p->status, STATUS_LOADED);
	ck_assert_uint_eq(params_of(p), 1);
	verify_result = WORK_OK;
	list_with(3);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 1);
	ck_assert_uint_eq(params_of(find("a")), 3);
}
END_TEST

START_TEST (after_a_restart_a_refusal_stands_for_its_parameters_alone) {
	list_with(1);
	verify_result = WORK_REFUSED;
	list_with(2);
	restart();
	verify_result = WORK_OK;
	list_with(2);
	ck_assert_int_eq(status_of("a"), STATUS_FAILED);
	list_with(1);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
}
END_TEST

START_TEST (other_ends_stand_whatever_the_parameters) {
	list_with(1);
	ck_assert_int_eq(roll_back("a"), 0);
	list_with(2);
	ck_assert_int_eq(status_of("a"), STATUS_ROLLED_BACK);
	ck_assert_uint_eq(loads, 1);
}
END_TEST

START_TEST (a_restart_takes_up_what_runs_beside_refused_ones) {
	struct handover_artifact h;
	const struct artifact *a;
	const char *why;

	list_with(1);
	verify_result = WORK_REFUSED;
	list_with(2);
	ck_assert(fleet_describe(find("a"), &h));
	restart();
	a = fleet_adopt(&fleet, &h, (const uint8_t *)"1", &verified, now, &why);
	ck_assert_ptr_nonnull(a);
	/* The refused one is recalled, and what runs still stays for it. */
	list_with(2);
	poll_unchanged(2);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	ck_assert_uint_eq(params_of(find("a")), 1);
}
END_TEST

START_TEST (a_dead_loader_has_it_taken_back_before_it_is_refused) {
	struct artifact *a;

	list_with(1);
	a = list_and_hold(2);
	a->timed_out = true;
	worker_died(PROC_BPF);
	ck_assert_int_eq(a->status, STATUS_LOADING);
	ck_assert_uint_eq(a->crashes, 1);
	worker_died(PROC_BPF);
	worker_died(PROC_BPF);
	ck_assert_int_eq(a->status, STATUS_FAILED);
	ck_assert_ptr_nonnull(strstr(a->error, "some of its parameters"));
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
}
END_TEST

/* ---- a loader that dies over a change ---- */

/* The second parameters, over which bpfd dies. */
static struct artifact *
die_over_a_change(void)
{
	list_with(1);
	shell_fails = true;
	list_with(2);
	fleet.can_load = false;
	fleet_worker_died(&fleet, PROC_BPF, "killed by signal 9", now);
	run();
	ck_assert(fleet_find_id(&fleet, "a")->params_unknown);
	return TAILQ_LAST(&fleet.artifacts, artifact_list);
}

static void
bpfd_is_back(void)
{
	fleet.can_load = true;
	fleet_tick(&fleet, now);
	run();
}

START_TEST (a_restart_waits_until_it_is_taken_back) {
	struct handover_artifact h;
	struct artifact *a = die_over_a_change();

	fleet_settle(&fleet);
	ck_assert(!fleet_is_settled(&fleet));
	bpfd_is_back();
	ck_assert(a->working);
	ck_assert(!fleet_is_settled(&fleet));
	fleet_load_anew(&fleet, a, now);
	run();
	/* The rest is the next agentd's. */
	ck_assert(fleet_is_settled(&fleet));
	ck_assert(!a->working);
	ck_assert(fleet_describe(fleet_find_id(&fleet, "a"), &h));
	ck_assert_uint_eq(h.flags & HANDOVER_PARAMS_UNKNOWN, 0);
}
END_TEST

/* What can never be taken back holds nobody up. */
START_TEST (a_restart_waits_for_nothing_that_has_gone) {
	die_over_a_change();
	ck_assert_int_eq(fleet_unload(&fleet, "a", now), 0);
	run();
	fleet_settle(&fleet);
	ck_assert(fleet_is_settled(&fleet));
}
END_TEST

/* As the next agentd has it, from the record: A was handed over. */
static void
next_agentd(const struct handover_artifact *h)
{
	const struct artifact *a;
	const char *why;

	restart();
	shell_fails = false;
	in_place = true;
	loads = 0;
	a = fleet_adopt(&fleet, h, (const uint8_t *)"1", &verified, now, &why);
	ck_assert_ptr_nonnull(a);
	ck_assert(a->params_unknown);
}

static void
is_replaced_by(unsigned int digit)
{
	list_with(digit);
	ck_assert_uint_eq(loads, 1);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 1);
	ck_assert_uint_eq(params_of(fleet_find_id(&fleet, "a")), digit);
	ck_assert(!fleet_find_id(&fleet, "a")->params_unknown);
	/* Once: then it stands for them again. */
	list_with(digit);
	ck_assert_uint_eq(loads, 1);
}

START_TEST (too_late_the_next_agentd_replaces_it) {
	struct handover_artifact h;

	die_over_a_change();
	fleet_settle(&fleet);
	fleet_settle_late(&fleet);
	ck_assert(fleet_describe(fleet_find_id(&fleet, "a"), &h));
	ck_assert_uint_ne(h.flags & HANDOVER_PARAMS_UNKNOWN, 0);
	next_agentd(&h);
	is_replaced_by(2);
}
END_TEST

/* bpfd lives, and does not answer; and the list has gone back. */
START_TEST (a_change_that_never_ended_is_replaced_by_the_old_ones_too) {
	struct handover_artifact h;

	list_with(1);
	shell_fails = true;
	list_with(2);
	fleet_settle(&fleet);
	ck_assert(!fleet_is_settled(&fleet));
	fleet_settle_late(&fleet);
	ck_assert(fleet_describe(fleet_find_id(&fleet, "a"), &h));
	next_agentd(&h);
	is_replaced_by(1);
}
END_TEST

/* Without a restart: nobody is left who could take it back. */
START_TEST (others_replace_what_was_half_changed) {
	die_over_a_change();
	list_with(1);
	in_place = true;
	shell_fails = false;
	bpfd_is_back();
	ck_assert_uint_eq(loads, 3); /* with the one that got no answer */
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 1);
	ck_assert_uint_eq(params_of(fleet_find_id(&fleet, "a")), 1);
	ck_assert(!fleet_find_id(&fleet, "a")->params_unknown);
}
END_TEST

START_TEST (what_was_not_wholly_taken_back_is_replaced) {
	struct artifact *a = die_over_a_change();

	bpfd_is_back();
	fleet_params_mixed(&fleet, a);
	load_result = WORK_REFUSED;
	shell_fails = false;
	fleet_load_anew(&fleet, a, now);
	run();
	ck_assert_int_eq(a->status, STATUS_FAILED);
	ck_assert(fleet_find_id(&fleet, "a")->params_unknown);
	load_result = WORK_OK;
	loads = 0;
	is_replaced_by(1);
}
END_TEST

UNIT_FIXTURE_MAIN("fleet_params", setup, teardown,
    in_place_the_same_program_goes_on, without_a_checksum_it_is_replaced,
    what_cannot_be_changed_in_place_is_loaded_anew,
    a_list_that_goes_back_meanwhile_is_followed,
    a_list_that_goes_back_while_it_loads_is_followed,
    what_bpfd_is_at_comes_to_its_end_first,
    what_is_rolled_back_meanwhile_stays_out,
    refused_ones_keep_what_runs_and_better_ones_are_tried,
    after_a_restart_a_refusal_stands_for_its_parameters_alone,
    other_ends_stand_whatever_the_parameters,
    a_restart_takes_up_what_runs_beside_refused_ones,
    a_dead_loader_has_it_taken_back_before_it_is_refused,
    a_restart_waits_until_it_is_taken_back,
    a_restart_waits_for_nothing_that_has_gone,
    too_late_the_next_agentd_replaces_it,
    a_change_that_never_ended_is_replaced_by_the_old_ones_too,
    others_replace_what_was_half_changed,
    what_was_not_wholly_taken_back_is_replaced)
