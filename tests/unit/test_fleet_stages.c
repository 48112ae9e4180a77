/* SPDX-License-Identifier: ISC */
/*
 * Each stage of an artifact's way into the kernel: how it fails, how often it
 * is tried, what it waits for, and what is measured when it is there.
 */
#include <string.h>

#include "tests/unit/fleet_fixture.h"
#include "tests/unit/unit.h"

static void
assert_error(const char *id, enum program_status status, const char *error)
{
	ck_assert_int_eq(status_of(id), status);
	ck_assert_ptr_nonnull(find(id)->error);
	ck_assert_str_eq(find(id)->error, error);
	ck_assert_uint_eq(events[EVENT_PROGRAM_ERROR], 1);
}

/* ---- failures ---- */

START_TEST (a_stage_that_fails_is_told_and_ends_or_is_tried_again) {
	static const struct {
		enum work_result *result, value;
		enum program_status status;
		const char *error;
	} rows[] = {
		{ &fetch_result, WORK_TRANSIENT, STATUS_DISCOVERED,
		    "cannot fetch" },
		{ &fetch_result, WORK_REFUSED, STATUS_FAILED, "cannot fetch" },
		{ &verify_result, WORK_TRANSIENT, STATUS_VERIFYING,
		    "bad signature" },
		{ &verify_result, WORK_REFUSED, STATUS_FAILED,
		    "bad signature" },
		{ &load_result, WORK_TRANSIENT, STATUS_LOADING, "cannot load" },
		{ &load_result, WORK_REFUSED, STATUS_FAILED, "cannot load" },
	};
	bool ends;
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		ends = rows[i].value == WORK_REFUSED;
		*rows[i].result = rows[i].value;
		list_only("a", "n", "1.0.0", 1);
		assert_error("a", rows[i].status, rows[i].error);
		ck_assert_uint_eq(fleet.loads_failed, ends);
		ck_assert_int_eq(due_in() == SEC, !ends);
		*rows[i].result = WORK_OK;
		pass(SEC);
		ck_assert_int_eq(
		    status_of("a"), ends ? STATUS_FAILED : STATUS_LOADED);
		/* What is tried again is not downloaded again for it. */
		ck_assert_uint_eq(
		    fetches, rows[i].status == STATUS_DISCOVERED ? 2 : 1);
		teardown();
		setup();
	}
}
END_TEST

START_TEST (a_fetchd_that_dies_costs_a_download) {
	silent = true;
	list_only("a", "n", "1.0.0", 1);
	ck_assert_int_eq(status_of("a"), STATUS_DOWNLOADING);
	/* The other one's death is nothing to it. */
	worker_died(PROC_VAULT);
	ck_assert_uint_eq(fetches, 1);
	silent = false;
	worker_died(PROC_REGISTRY);
	ck_assert_uint_eq(fetches, 2);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	ck_assert_uint_eq(events[EVENT_PROGRAM_ERROR], 0);
}
END_TEST

START_TEST (a_check_that_takes_too_long_is_ended) {
	silent = true;
	list_only("a", "n", "1.0.0", 1);
	fleet_fetched(&fleet, find("a"), WORK_OK, "", now);
	run();
	ck_assert_int_eq(status_of("a"), STATUS_VERIFYING);
	ck_assert_int_eq(due_in(), 30 * SEC);
	pass(30 * SEC - 1);
	ck_assert_uint_eq(kills, 0);
	pass(1);
	ck_assert_uint_eq(kills, 1);
	ck_assert_int_eq(last_killed, PROC_VERIFY);
	worker_died(PROC_VERIFY);
	assert_error("a", STATUS_FAILED,
	    "verifyd killed by signal 9 over this artifact: no answer in time");
}
END_TEST

/* ---- what is waited for ---- */

START_TEST (four_downloads_at_once) {
	static const char *const ids[] = { "a", "b", "c", "d", "e", "f" };
	size_t i;

	fleet.rules.max_programs = nitems(ids);
	silent = true;
	for (i = 0; i < nitems(ids); i++)
		list_entry(ids[i], ids[i], "1.0.0", (int)i + 1);
	poll_list();
	ck_assert_uint_eq(fetches, 4);
	ck_assert_int_eq(status_of("d"), STATUS_DOWNLOADING);
	ck_assert_int_eq(status_of("e"), STATUS_DISCOVERED);
	fleet_fetched(&fleet, find("b"), WORK_OK, "", now);
	run();
	ck_assert_uint_eq(fetches, 5);
	ck_assert_int_eq(status_of("e"), STATUS_DOWNLOADING);
	ck_assert_int_eq(status_of("f"), STATUS_DISCOVERED);
}
END_TEST

START_TEST (one_goes_for_one_that_comes) {
	unload_at_once = false;
	list_entry("a", "x", "1.0.0", 1);
	list_entry("b", "y", "1.0.0", 2);
	poll_list();
	list_entry("a", "x", "1.0.0", 1);
	list_entry("b", "y", "1.0.0", 2);
	list_entry("c", "z", "1.0.0", 3);
	poll_list();
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADING);
	/* Time does not make a second one go for the same place. */
	pass(SEC);
	ck_assert_int_eq(status_of("b"), STATUS_LOADED);
	ck_assert_uint_eq(loads, 2);
	let_go(find("a"));
	ck_assert_int_eq(status_of("c"), STATUS_LOADED);
	ck_assert_uint_eq(fleet.unloads[UNLOAD_EVICTED], 1);
}
END_TEST

/* Its time ran out while there was no agent to end it. */
START_TEST (a_ttl_that_ended_over_a_restart) {
	list_and_load("a", "n", "1.0.0", 1);
	now.boot_ns += 60 * SEC - 1;
	now.wall_ns += 60 * SEC - 1;
	restart();
	list_only("a", "n", "1.0.0", 1);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	now.boot_ns++;
	now.wall_ns++;
	restart();
	list_only("a", "n", "1.0.0", 1);
	ck_assert_int_eq(status_of("a"), STATUS_EXPIRED);
	ck_assert_uint_eq(loads, 2);
}
END_TEST

/* ---- what the signed metadata says ---- */

START_TEST (metadata_may_name_what_it_replaces) {
	list_and_load("a", "n", "1.0.0", 1);
	verified.replaces = "a";
	list_entry("a", "n", "1.0.0", 1);
	list_entry("b", "other", "1.0.0", 2);
	poll_list();
	ck_assert_int_eq(status_of("b"), STATUS_LOADED);
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADED);
	ck_assert_uint_eq(fleet.unloads[UNLOAD_REPLACED], 1);
}
END_TEST

START_TEST (metadata_that_names_nobody_replaces_nothing) {
	static char long_id[AEGIS_ID_SIZE + 1];
	const char *const names[] = { "b", "nobody", long_id };
	size_t i;

	memset(long_id, 'a', sizeof(long_id) - 1);
	for (i = 0; i < nitems(names); i++) {
		list_and_load("a", "n", "1.0.0", 1);
		verified.replaces = names[i];
		list_entry("a", "n", "1.0.0", 1);
		list_entry("b", "other", "1.0.0", 2);
		poll_list();
		ck_assert_int_eq(status_of("b"), STATUS_LOADED);
		ck_assert_int_eq(status_of("a"), STATUS_LOADED);
		teardown();
		setup();
	}
}
END_TEST

/* ---- what is measured ---- */

START_TEST (rates_are_of_the_period_between_two_samples) {
	struct msg_bpf_sampled s = { .boot_ns = now.boot_ns,
		.run_count = 10,
		.run_time_ns = 1000,
		.memory_bytes = 1025,
		.packets_processed = UINT64_MAX,
		.violations = UINT64_MAX,
		.errors = UINT64_MAX };
	const struct telemetry *t;

	fleet.rules.default_ttl_sec = 3600;
	list_and_load("a", "n", "1.0.0", 1);
	t = &find("a")->telemetry;
	/* Nothing before it to compare with; it counts nothing itself. */
	fleet_sampled(&fleet, find("a"), &s, now);
	ck_assert(t->cpu_percent == 0 && t->latency_ms == 0);
	ck_assert_uint_eq(t->memory_kb, 2);
	ck_assert_uint_eq(t->packets_processed, 10);
	ck_assert_uint_eq(t->violations + t->errors, 0);
	/* 100 runs of 1 ms in 10 s. */
	s.boot_ns += 10 * SEC;
	s.run_count += 100;
	s.run_time_ns += 100 * NSEC_PER_MSEC;
	fleet_sampled(&fleet, find("a"), &s, now);
	ck_assert(t->cpu_percent == 1 && t->latency_ms == 1);
	/* It did not run. */
	s.boot_ns += 10 * SEC;
	fleet_sampled(&fleet, find("a"), &s, now);
	ck_assert(t->cpu_percent == 0 && t->latency_ms == 0);
	/* Of the same moment; and counts that went back: another program. */
	s.run_count += 100;
	fleet_sampled(&fleet, find("a"), &s, now);
	ck_assert(t->cpu_percent == 0 && t->latency_ms == 0);
	s.boot_ns += 10 * SEC;
	s.run_count = 1;
	s.run_time_ns += 5;
	fleet_sampled(&fleet, find("a"), &s, now);
	ck_assert(t->cpu_percent == 0 && t->latency_ms == 0);
}
END_TEST

START_TEST (a_sample_that_failed_changes_nothing) {
	struct msg_bpf_sampled s = { .result = -ENOENT, .errors = 99 };

	list_and_load("a", "n", "1.0.0", 1);
	fleet_sampled(&fleet, find("a"), &s, now);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	ck_assert_uint_eq(find("a")->telemetry.errors, 0);
}
END_TEST

/* ---- what people are told ---- */

START_TEST (refusals_have_words) {
	ck_assert_str_eq(fleet_refusal(roll_back("a")), "no such artifact");
	shell_fails = true;
	list_only("a", "n", "1.0.0", 1);
	ck_assert_str_eq(fleet_refusal(unload("a")), "it is not loaded");
	load_done(find("a"), WORK_OK);
	unload_at_once = false;
	ck_assert_int_eq(unload("a"), 0);
	ck_assert_str_eq(
	    fleet_refusal(unload("a")), "it is being unloaded already");
	ck_assert_str_eq(fleet_refusal(-ENOMEM), strerror(ENOMEM));
}
END_TEST

UNIT_FIXTURE_MAIN("fleet_stages", setup, teardown,
    a_stage_that_fails_is_told_and_ends_or_is_tried_again,
    a_fetchd_that_dies_costs_a_download, a_check_that_takes_too_long_is_ended,
    four_downloads_at_once, one_goes_for_one_that_comes,
    a_ttl_that_ended_over_a_restart, metadata_may_name_what_it_replaces,
    metadata_that_names_nobody_replaces_nothing,
    rates_are_of_the_period_between_two_samples,
    a_sample_that_failed_changes_nothing, refusals_have_words)
