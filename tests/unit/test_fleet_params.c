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
    a_dead_loader_has_it_taken_back_before_it_is_refused)
