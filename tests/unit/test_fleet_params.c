/* SPDX-License-Identifier: ISC */
/*
 * The same artifact, listed with other parameters: changed in place, loaded
 * anew, refused; and what a refusal is remembered by.
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

/* Everything is forgotten but the state file, as over a restart. */
static void
restart(void)
{
	struct fleet_rules rules = fleet.rules;

	fleet_fini(&fleet);
	fleet_init(&fleet, &rules, &state, boot_id);
	fleet.can_fetch = fleet.can_verify = fleet.can_load = true;
}

START_TEST (in_place_the_same_program_goes_on) {
	struct artifact *a;
	uint64_t handle;
	int64_t ends;

	setup();
	in_place = true;
	list_with(1);
	sample("a", 3);
	a = fleet_find_id(&fleet, "a");
	handle = a->handle;
	ends = artifact_expires_boot_ns(a);
	pass(10 * SEC);
	list_with(2);
	a = fleet_find_id(&fleet, "a");
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
	fleet_list_unchanged(&fleet, now);
	fleet_list_unchanged(&fleet, now);
	run();
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 1);
	list_with(1);
	ck_assert_uint_eq(params_of(fleet_find_id(&fleet, "a")), 1);
	teardown();
}
END_TEST

START_TEST (without_a_checksum_it_is_replaced) {
	struct artlist_entry *e;

	setup();
	in_place = true;
	list_with(1);
	e = list_entry("a", "n", "1.0.0", 1);
	e->has_sha256 = 0;
	list_params(e, 2);
	poll_list();
	run();
	ck_assert_uint_eq(loads, 2);
	teardown();
}
END_TEST

START_TEST (what_cannot_be_changed_in_place_is_loaded_anew) {
	struct artifact *a;
	uint64_t first;

	setup();
	list_with(1);
	first = fleet_find_id(&fleet, "a")->handle;
	shell_fails = true; /* bpfd is at it */
	list_with(2);
	a = TAILQ_LAST(&fleet.artifacts, artifact_list);
	ck_assert_ptr_nonnull(fleet_runs_already(&fleet, a));
	shell_fails = false;
	fleet_load_anew(&fleet, a, now);
	run();
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 1);
	a = fleet_find_id(&fleet, "a");
	ck_assert_uint_ne(a->handle, first);
	ck_assert_uint_eq(params_of(a), 2);
	ck_assert(!a->load_anew);
	teardown();
}
END_TEST

/* The list goes back to the old ones while bpfd is at the new. */
START_TEST (a_list_that_goes_back_meanwhile_is_followed) {
	struct artifact *a, *p;

	setup();
	in_place = true;
	list_with(1);
	in_place = false;
	shell_fails = true;
	list_with(2);
	list_with(1);
	a = TAILQ_LAST(&fleet.artifacts, artifact_list);
	p = fleet_runs_already(&fleet, a);
	ck_assert_ptr_nonnull(p);
	in_place = true;
	fleet_params_changed(&fleet, a, p, now);
	run();
	/* No further poll was needed. */
	ck_assert_uint_eq(record_count(), 1);
	ck_assert_uint_eq(params_of(fleet_find_id(&fleet, "a")), 1);
	ck_assert(fleet_find_id(&fleet, "a")->listed);
	teardown();
}
END_TEST

START_TEST (a_list_that_goes_back_while_it_loads_is_followed) {
	struct artifact *a;

	setup();
	list_with(1);
	shell_fails = true;
	list_with(2);
	list_with(1);
	a = TAILQ_LAST(&fleet.artifacts, artifact_list);
	shell_fails = false;
	fleet_load_done(&fleet, a, WORK_OK, "", now);
	run();
	fleet_list_unchanged(&fleet, now);
	fleet_list_unchanged(&fleet, now);
	run();
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 1);
	ck_assert_uint_eq(params_of(fleet_find_id(&fleet, "a")), 1);
	teardown();
}
END_TEST

/* Third ones come while bpfd is at the second. */
START_TEST (what_bpfd_is_at_comes_to_its_end_first) {
	struct artifact *second;

	setup();
	in_place = true;
	list_with(1);
	in_place = false;
	shell_fails = true;
	list_with(2);
	second = TAILQ_LAST(&fleet.artifacts, artifact_list);
	list_with(3);
	in_place = true;
	ck_assert_int_eq(second->status, STATUS_LOADING);
	fleet_params_changed(
	    &fleet, second, fleet_runs_already(&fleet, second), now);
	run();
	ck_assert_uint_eq(record_count(), 1);
	ck_assert_uint_eq(params_of(fleet_find_id(&fleet, "a")), 3);
	ck_assert_uint_eq(loads, 2); /* the one that got no answer */
	teardown();
}
END_TEST

START_TEST (what_is_rolled_back_meanwhile_stays_out) {
	const struct rollback_cause cause = { .reason = ROLLBACK_MANUAL };
	struct artifact *a;

	setup();
	list_with(1);
	shell_fails = true;
	list_with(2);
	a = TAILQ_LAST(&fleet.artifacts, artifact_list);
	ck_assert_int_eq(fleet_rollback(&fleet, "a", &cause, now), 0);
	run();
	ck_assert_ptr_null(fleet_runs_already(&fleet, a));
	shell_fails = false;
	fleet_load_anew(&fleet, a, now);
	run();
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 0);
	ck_assert_int_eq(a->status, STATUS_ROLLED_BACK);
	teardown();
}
END_TEST

START_TEST (refused_ones_keep_what_runs_and_better_ones_are_tried) {
	struct artifact *p;

	setup();
	list_with(1);
	verify_result = WORK_REFUSED;
	list_with(2);
	ck_assert_uint_eq(events[EVENT_PROGRAM_ERROR], 1);
	fleet_list_unchanged(&fleet, now);
	fleet_list_unchanged(&fleet, now);
	run();
	p = fleet_find_id(&fleet, "a");
	ck_assert_int_eq(p->status, STATUS_LOADED);
	ck_assert_uint_eq(params_of(p), 1);
	verify_result = WORK_OK;
	list_with(3);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 1);
	ck_assert_uint_eq(params_of(fleet_find_id(&fleet, "a")), 3);
	teardown();
}
END_TEST

START_TEST (after_a_restart_a_refusal_stands_for_its_parameters_alone) {
	setup();
	list_with(1);
	verify_result = WORK_REFUSED;
	list_with(2);
	restart();
	verify_result = WORK_OK;
	list_with(2);
	ck_assert_int_eq(status_of("a"), STATUS_FAILED);
	list_with(1);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	teardown();
}
END_TEST

START_TEST (other_ends_stand_whatever_the_parameters) {
	const struct rollback_cause cause = { .reason = ROLLBACK_MANUAL };

	setup();
	list_with(1);
	ck_assert_int_eq(fleet_rollback(&fleet, "a", &cause, now), 0);
	run();
	list_with(2);
	ck_assert_int_eq(status_of("a"), STATUS_ROLLED_BACK);
	ck_assert_uint_eq(loads, 1);
	teardown();
}
END_TEST

START_TEST (a_restart_takes_up_what_runs_beside_refused_ones) {
	struct handover_artifact h;
	const struct artifact *a;
	const char *why;

	setup();
	list_with(1);
	verify_result = WORK_REFUSED;
	list_with(2);
	ck_assert(fleet_describe(fleet_find_id(&fleet, "a"), &h));
	restart();
	a = fleet_adopt(&fleet, &h, (const uint8_t *)"1", &verified, now, &why);
	ck_assert_ptr_nonnull(a);
	/* The refused one is recalled, and what runs still stays for it. */
	list_with(2);
	fleet_list_unchanged(&fleet, now);
	fleet_list_unchanged(&fleet, now);
	run();
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	ck_assert_uint_eq(params_of(fleet_find_id(&fleet, "a")), 1);
	teardown();
}
END_TEST

START_TEST (a_dead_loader_has_it_taken_back_before_it_is_refused) {
	struct artifact *a;

	setup();
	list_with(1);
	shell_fails = true;
	list_with(2);
	a = TAILQ_LAST(&fleet.artifacts, artifact_list);
	a->timed_out = true;
	fleet_worker_died(&fleet, PROC_BPF, "killed by signal 9", now);
	run();
	ck_assert_int_eq(a->status, STATUS_LOADING);
	ck_assert_uint_eq(a->crashes, 1);
	fleet_worker_died(&fleet, PROC_BPF, "killed by signal 9", now);
	run();
	fleet_worker_died(&fleet, PROC_BPF, "killed by signal 9", now);
	run();
	ck_assert_int_eq(a->status, STATUS_FAILED);
	ck_assert_ptr_nonnull(strstr(a->error, "some of its parameters"));
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	teardown();
}
END_TEST

UNIT_MAIN("fleet_params", in_place_the_same_program_goes_on,
    without_a_checksum_it_is_replaced,
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
