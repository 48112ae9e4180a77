/* SPDX-License-Identifier: ISC */
/*
 * The life of artifacts, with a fake clock and without processes: what the
 * fleet wants done after what happened.
 */
#include "agentd/fleet.h"

#include <string.h>

#include "tests/unit/unit.h"

#define SEC NSEC_PER_SEC

static struct fleet fleet;
static struct state state;
static struct moment now;
static const uint8_t boot_id[16] = { 1 };

/* ---- a registry that lists what it is told ---- */

static struct artlist_entry entries[16];
static struct artlist_header header;

static struct artlist_entry *
list_entry(const char *id, const char *name, const char *version, int checksum)
{
	struct artlist_entry *e = &entries[header.entry_count++];

	memset(e, 0, sizeof(*e));
	ck_assert_int_eq(
	    str_copy(e->artifact_id, sizeof(e->artifact_id), id), 0);
	ck_assert_int_eq(str_copy(e->name, sizeof(e->name), name), 0);
	ck_assert_int_eq(str_copy(e->version, sizeof(e->version), version), 0);
	e->sha256[0] = (uint8_t)checksum;
	e->has_sha256 = 1;
	e->ttl_sec = -1;
	return e;
}

static void
poll_list(void)
{
	struct artlist list = { .header = &header,
		.entries = entries,
		.data = (const uint8_t *)"{}" };

	fleet_apply_list(&fleet, &list, now);
	header.entry_count = 0;
}

/* ---- a shell that does all at once, or counts ---- */

static unsigned int events[EVENT_TYPE_MAX];
static enum rollback_status rollback_statuses[16];
static unsigned int rollback_status_count;
static unsigned int loads, kills, samples, drops;
static bool shell_fails;
static enum work_result fetch_result, verify_result, load_result;
static struct verified verified;
static bool unload_at_once;

static void
answer(const struct action *act)
{
	struct artifact *a = fleet_find(&fleet, act->handle);

	switch (act->type) {
	case ACT_FETCH:
		fleet_fetched(&fleet, a, fetch_result, "cannot fetch", now);
		break;
	case ACT_VERIFY:
		fleet_verified(
		    &fleet, a, verify_result, "bad signature", &verified, now);
		break;
	case ACT_LOAD:
		loads++;
		if (!shell_fails)
			fleet_load_done(
			    &fleet, a, load_result, "cannot load", now);
		break;
	case ACT_UNLOAD:
		if (unload_at_once)
			fleet_unloaded(&fleet, a, now);
		break;
	case ACT_EVENT:
		events[act->event]++;
		if (act->event == EVENT_ROLLBACK_STATUS)
			rollback_statuses[rollback_status_count++] =
			    act->rollback_status;
		break;
	case ACT_SAMPLE:
		samples++;
		break;
	case ACT_KILL:
		kills++;
		break;
	case ACT_DROP:
		drops++;
		break;
	default:
		break;
	}
}

static void
run(void)
{
	struct action *act;

	while ((act = fleet_next_action(&fleet)) != NULL) {
		answer(act);
		free(act);
	}
}

static void
setup(void)
{
	static const struct fleet_rules rules = {
		.max_programs = 2,
		.default_ttl_sec = 60,
		.unload_withdrawn = true,
		.rollback_verifier_failure = true,
		.rollback_delay_ns = 5 * SEC,
		.probation_ns = 300 * SEC,
		.limits = { 10, 100, 80, 1000, 102400 },
	};

	state_init(&state);
	fleet_init(&fleet, &rules, &state, boot_id);
	fleet.can_fetch = fleet.can_verify = fleet.can_load = true;
	memset(events, 0, sizeof(events));
	rollback_status_count = loads = kills = samples = drops = 0;
	shell_fails = false;
	fetch_result = verify_result = load_result = WORK_OK;
	memset(&verified, 0, sizeof(verified));
	verified.replaces = "";
	verified.limits = (struct loadplan_limits){ -1, -1, -1, -1, -1 };
	unload_at_once = true;
	header.entry_count = 0;
	now.boot_ns = 1000 * SEC;
	now.wall_ns = INT64_C(1700000000) * SEC;
}

static void
teardown(void)
{
	fleet_fini(&fleet);
	state_free(&state);
}

static void
pass(int64_t ns)
{
	now.boot_ns += ns;
	now.wall_ns += ns;
	fleet_tick(&fleet, now);
	run();
}

static enum program_status
status_of(const char *id)
{
	struct artifact *a = fleet_find_id(&fleet, id);

	ck_assert_ptr_nonnull(a);
	return a->status;
}

static void
list_and_load(const char *id, const char *name, const char *version, int sum)
{
	list_entry(id, name, version, sum);
	poll_list();
	run();
	ck_assert_int_eq(status_of(id), STATUS_LOADED);
}

static void
sample(const char *id, uint64_t errors)
{
	struct msg_bpf_sampled s = { .boot_ns = now.boot_ns,
		.packets_processed = UINT64_MAX,
		.errors = errors };

	fleet_sampled(&fleet, fleet_find_id(&fleet, id), &s, now);
	run();
}

/* ---- the straight way ---- */

START_TEST (listed_is_loaded_and_then_running) {
	setup();
	list_and_load("a", "n", "1.0.0", 1);
	ck_assert_uint_eq(events[EVENT_PROGRAM_LOADED], 1);
	ck_assert_uint_eq(samples, 1);
	sample("a", 0);
	ck_assert_int_eq(status_of("a"), STATUS_RUNNING);
	ck_assert_uint_eq(events[EVENT_PROGRAM_TELEMETRY], 1);
	/* The same list again changes nothing. */
	list_entry("a", "n", "1.0.0", 1);
	poll_list();
	run();
	ck_assert_uint_eq(loads, 1);
	ck_assert_int_eq(status_of("a"), STATUS_RUNNING);
	teardown();
}
END_TEST

START_TEST (ttl_ends_it_to_the_nanosecond_and_for_good) {
	setup();
	list_and_load("a", "n", "1.0.0", 1);
	ck_assert_int_eq(
	    fleet_next_deadline(&fleet, now), now.boot_ns + 60 * SEC);
	pass(60 * SEC - 1);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	pass(1);
	ck_assert_int_eq(status_of("a"), STATUS_EXPIRED);
	ck_assert_uint_eq(events[EVENT_PROGRAM_UNLOADED], 1);
	list_entry("a", "n", "1.0.0", 1);
	poll_list();
	run();
	ck_assert_uint_eq(loads, 1);
	/* Another checksum under the same id is another artifact. */
	list_and_load("a", "n", "1.0.1", 2);
	ck_assert_uint_eq(loads, 2);
	teardown();
}
END_TEST

START_TEST (ttl_goes_on_over_a_restart_of_the_agent) {
	struct fleet_rules rules;

	setup();
	list_and_load("a", "n", "1.0.0", 1);
	rules = fleet.rules;
	pass(20 * SEC);
	fleet_fini(&fleet);
	fleet_init(&fleet, &rules, &state, boot_id);
	fleet.can_fetch = fleet.can_verify = fleet.can_load = true;
	list_and_load("a", "n", "1.0.0", 1);
	ck_assert_int_eq(
	    fleet_next_deadline(&fleet, now), now.boot_ns + 40 * SEC);
	pass(40 * SEC);
	ck_assert_int_eq(status_of("a"), STATUS_EXPIRED);
	/* And the tombstone, too. */
	fleet_fini(&fleet);
	fleet_init(&fleet, &rules, &state, boot_id);
	fleet.can_fetch = fleet.can_verify = fleet.can_load = true;
	list_entry("a", "n", "1.0.0", 1);
	poll_list();
	run();
	ck_assert_int_eq(status_of("a"), STATUS_EXPIRED);
	ck_assert_uint_eq(loads, 2);
	teardown();
}
END_TEST

START_TEST (entry_and_signed_maximum_bound_the_ttl) {
	setup();
	list_entry("a", "n", "1.0.0", 1)->ttl_sec = 10;
	list_entry("b", "m", "1.0.0", 2)->ttl_sec = 0;
	poll_list();
	run();
	ck_assert_int_eq(fleet_find_id(&fleet, "a")->ttl_sec, 10);
	ck_assert(
	    artifact_expires_boot_ns(fleet_find_id(&fleet, "b")) == INT64_MAX);
	verified.max_ttl_sec = 5;
	list_entry("a", "n", "1.0.0", 1)->ttl_sec = 10;
	list_entry("b", "m", "1.0.1", 3)->ttl_sec = 0;
	poll_list();
	run();
	ck_assert_int_eq(fleet_find_id(&fleet, "b")->ttl_sec, 5);
	teardown();
}
END_TEST

START_TEST (clock_steps_do_not_move_a_ttl) {
	setup();
	list_and_load("a", "n", "1.0.0", 1);
	now.wall_ns += 86400 * SEC;
	pass(59 * SEC);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	now.wall_ns -= 2 * 86400 * SEC;
	pass(1 * SEC);
	ck_assert_int_eq(status_of("a"), STATUS_EXPIRED);
	teardown();
}
END_TEST

/* ---- failures ---- */

START_TEST (transient_failures_back_off_and_are_told_once) {
	int i;

	setup();
	fetch_result = WORK_TRANSIENT;
	list_entry("a", "n", "1.0.0", 1);
	poll_list();
	run();
	ck_assert_int_eq(status_of("a"), STATUS_DISCOVERED);
	for (i = 1; i <= 64; i *= 2) {
		ck_assert_int_eq(
		    fleet_next_deadline(&fleet, now), now.boot_ns + i * SEC);
		pass(i * SEC);
	}
	ck_assert_uint_eq(events[EVENT_PROGRAM_ERROR], 1);
	fetch_result = WORK_OK;
	pass(128 * SEC);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	ck_assert_ptr_null(fleet_find_id(&fleet, "a")->error);
	teardown();
}
END_TEST

START_TEST (a_refused_artifact_holds_up_no_other) {
	setup();
	verify_result = WORK_REFUSED;
	list_entry("bad", "n", "1.0.0", 1);
	poll_list();
	run();
	verify_result = WORK_OK;
	list_entry("bad", "n", "1.0.0", 1);
	list_entry("good", "m", "1.0.0", 2);
	poll_list();
	run();
	ck_assert_int_eq(status_of("bad"), STATUS_FAILED);
	ck_assert_int_eq(status_of("good"), STATUS_LOADED);
	ck_assert_uint_eq(events[EVENT_PROGRAM_ERROR], 1);
	ck_assert_uint_eq(loads, 1);
	/* For good, until it changes or is pardoned. */
	pass(3600 * SEC);
	ck_assert_int_eq(status_of("bad"), STATUS_FAILED);
	ck_assert_int_eq(fleet_pardon(&fleet, "bad", now), 0);
	run();
	ck_assert_int_eq(status_of("bad"), STATUS_LOADED);
	ck_assert_int_eq(fleet_pardon(&fleet, "nobody", now), -ENOENT);
	teardown();
}
END_TEST

START_TEST (verifier_failure_is_a_rollback_by_configuration) {
	setup();
	load_result = WORK_VERIFIER;
	list_entry("a", "n", "1.0.0", 1);
	poll_list();
	run();
	ck_assert_int_eq(status_of("a"), STATUS_ROLLED_BACK);
	ck_assert_uint_eq(events[EVENT_PROGRAM_ROLLED_BACK], 1);
	ck_assert_uint_eq(state.rollback_count, 1);
	ck_assert_uint_eq(state.rollbacks[0].reason, ROLLBACK_VERIFIER_FAILURE);
	fleet.rules.rollback_verifier_failure = false;
	list_entry("b", "m", "1.0.0", 2);
	poll_list();
	run();
	ck_assert_int_eq(status_of("b"), STATUS_FAILED);
	teardown();
}
END_TEST

START_TEST (downgrades_need_a_word_of_the_operator) {
	setup();
	list_and_load("a", "n", "2.0.0", 1);
	list_entry("a", "n", "1.9.0", 2);
	poll_list();
	run();
	ck_assert_int_eq(status_of("a"), STATUS_LOADED); /* the old one */
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 1);
	ck_assert_uint_eq(events[EVENT_PROGRAM_ERROR], 1);
	ck_assert_int_eq(state_name_allow_downgrade(&state, "n", "1.9.0"), 0);
	ck_assert_int_eq(fleet_pardon(&fleet, "a", now), 0);
	run();
	ck_assert_str_eq(fleet_find_id(&fleet, "a")->listing.version, "1.9.0");
	teardown();
}
END_TEST

START_TEST (a_pardon_is_no_leave_for_a_downgrade) {
	setup();
	list_and_load("a", "n", "2.0.0", 1);
	list_entry("a", "n", "1.9.0", 2);
	poll_list();
	run();
	ck_assert_int_eq(fleet_pardon(&fleet, "a", now), 0);
	run();
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 1);
	ck_assert_str_eq(fleet_find_id(&fleet, "a")->listing.version, "2.0.0");
	teardown();
}
END_TEST

/* The one with id X, and the error it failed with. */
static const char *
failed_with(const char *id)
{
	ck_assert_int_eq(status_of(id), STATUS_FAILED);
	return fleet_find_id(&fleet, id)->error;
}

START_TEST (a_lower_sequence_is_a_downgrade) {
	setup();
	verified.sequence = 7;
	list_and_load("a", "n", "2.0.0", 1);
	ck_assert_uint_eq(state_name_find(&state, "n")->highest_sequence, 7);
	/* Of the same version: only the sequence tells them apart. */
	verified.sequence = 6;
	list_entry("a", "n", "2.0.0", 1);
	list_entry("b", "n", "2.0.0", 2);
	poll_list();
	run();
	ck_assert_str_eq(failed_with("b"),
	    "sequence 6 of version 2.0.0 is lower than 7, which was accepted "
	    "before: a downgrade needs 'aegisctl allow-downgrade n 2.0.0'");
	/* One without a number is of before there were numbers. */
	verified.sequence = 0;
	list_entry("a", "n", "2.0.0", 1);
	list_entry("c", "n", "2.0.0", 3);
	poll_list();
	run();
	ck_assert_ptr_nonnull(strstr(failed_with("c"), "carries none"));
	/* Of another name: its own numbers. */
	verified.sequence = 1;
	list_entry("a", "n", "2.0.0", 1);
	list_entry("d", "m", "1.0.0", 4);
	poll_list();
	run();
	ck_assert_int_eq(status_of("d"), STATUS_LOADED);
	teardown();
}
END_TEST

START_TEST (a_lower_sequence_may_be_allowed_once) {
	setup();
	verified.sequence = 7;
	list_and_load("a", "n", "2.0.0", 1);
	verified.sequence = 6;
	list_entry("a", "n", "2.0.0", 1);
	list_entry("b", "n", "2.0.0", 2);
	poll_list();
	run();
	ck_assert_int_eq(status_of("b"), STATUS_FAILED);
	ck_assert_int_eq(state_name_allow_downgrade(&state, "n", "2.0.0"), 0);
	ck_assert_int_eq(fleet_pardon(&fleet, "b", now), 0);
	run();
	ck_assert_int_eq(status_of("b"), STATUS_LOADED);
	/* Once: the next one needs its own leave; the number stays. */
	ck_assert_uint_eq(state_name_find(&state, "n")->highest_sequence, 7);
	ck_assert_str_eq(state_name_find(&state, "n")->allow_downgrade, "");
	list_entry("a", "n", "2.0.0", 1);
	list_entry("b", "n", "2.0.0", 2);
	list_entry("c", "n", "2.0.0", 3);
	poll_list();
	run();
	ck_assert_int_eq(status_of("c"), STATUS_FAILED);
	/* What was accepted stays good. */
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	teardown();
}
END_TEST

START_TEST (a_checksum_mismatch_is_fetched_anew) {
	unsigned int tries;

	setup();
	verify_result = WORK_MISMATCH;
	list_entry("a", "n", "1.0.0", 1);
	poll_list();
	run();
	for (tries = 1; status_of("a") != STATUS_FAILED; tries++) {
		ck_assert_int_eq(status_of("a"), STATUS_DISCOVERED);
		ck_assert_int_eq(fleet_next_deadline(&fleet, now),
		    now.boot_ns + (INT64_C(1) << (tries - 1)) * SEC);
		pass(fleet_next_deadline(&fleet, now) - now.boot_ns);
		run();
	}
	ck_assert_uint_eq(tries, 6);
	/* Told once, and over: it survives a restart. */
	ck_assert_uint_eq(events[EVENT_PROGRAM_ERROR], 1);
	ck_assert_uint_eq(
	    state.artifacts[0]->tombstone, (uint32_t)STATUS_FAILED);
	teardown();
}
END_TEST

START_TEST (a_registry_that_lists_first_is_waited_for) {
	setup();
	verify_result = WORK_MISMATCH;
	list_entry("a", "n", "1.0.0", 1);
	poll_list();
	run();
	verify_result = WORK_OK;
	pass(SEC);
	run();
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	teardown();
}
END_TEST

START_TEST (not_after_is_enforced) {
	setup();
	verified.not_after_wall_ns = now.wall_ns - 1;
	list_entry("a", "n", "1.0.0", 1);
	poll_list();
	run();
	ck_assert_int_eq(status_of("a"), STATUS_FAILED);
	ck_assert_ptr_nonnull(
	    strstr(fleet_find_id(&fleet, "a")->error, "not_after"));
	teardown();
}
END_TEST

START_TEST (a_dead_worker_costs_a_retry_and_three_the_artifact) {
	int i;

	setup();
	shell_fails = true;
	list_entry("a", "n", "1.0.0", 1);
	poll_list();
	run();
	for (i = 0; i < 2; i++) {
		ck_assert(fleet_find_id(&fleet, "a")->working);
		fleet_worker_died(&fleet, PROC_BPF, "was killed", now);
		run();
		ck_assert_int_eq(status_of("a"), STATUS_LOADING);
	}
	ck_assert_uint_eq(loads, 3);
	fleet_worker_died(&fleet, PROC_BPF, "was killed", now);
	run();
	ck_assert_int_eq(status_of("a"), STATUS_FAILED);
	ck_assert_uint_eq(loads, 3);
	teardown();
}
END_TEST

START_TEST (a_worker_that_does_not_answer_is_killed) {
	setup();
	shell_fails = true;
	list_entry("a", "n", "1.0.0", 1);
	poll_list();
	run();
	pass(fleet_next_deadline(&fleet, now) - now.boot_ns);
	ck_assert_uint_eq(kills, 1);
	fleet_worker_died(&fleet, PROC_BPF, "was killed", now);
	run();
	ck_assert_int_eq(status_of("a"), STATUS_FAILED);
	teardown();
}
END_TEST

START_TEST (late_answers_are_ignored) {
	struct artifact *a;

	setup();
	list_and_load("a", "n", "1.0.0", 1);
	a = fleet_find_id(&fleet, "a");
	fleet_fetched(&fleet, a, WORK_OK, "", now);
	fleet_verified(&fleet, a, WORK_REFUSED, "late", &verified, now);
	fleet_load_done(&fleet, a, WORK_REFUSED, "late", now);
	fleet_unloaded(&fleet, a, now);
	run();
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	teardown();
}
END_TEST

/* ---- the list as the desired set ---- */

START_TEST (two_of_one_name_run_side_by_side) {
	setup();
	list_entry("a", "n", "1.0.0", 1);
	list_entry("b", "n", "1.0.0", 2);
	poll_list();
	run();
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	ck_assert_int_eq(status_of("b"), STATUS_LOADED);
	teardown();
}
END_TEST

START_TEST (withdrawn_after_two_good_polls) {
	setup();
	list_and_load("a", "n", "1.0.0", 1);
	poll_list();
	run();
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	fleet_list_unchanged(&fleet, now); /* a 304 is a good poll */
	run();
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADED);
	ck_assert_uint_eq(fleet.unloads[UNLOAD_WITHDRAWN], 1);
	/* Gone from memory one poll later, and back if it is listed again. */
	poll_list();
	run();
	ck_assert_ptr_null(fleet_find_id(&fleet, "a"));
	list_and_load("a", "n", "1.0.0", 1);
	teardown();
}
END_TEST

START_TEST (withdrawal_can_be_turned_off) {
	setup();
	fleet.rules.unload_withdrawn = false;
	list_and_load("a", "n", "1.0.0", 1);
	poll_list();
	poll_list();
	poll_list();
	run();
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	teardown();
}
END_TEST

START_TEST (new_checksum_under_an_id_replaces_without_a_gap) {
	struct artifact *old;

	setup();
	fleet.rules.default_ttl_sec = 3600;
	list_and_load("a", "n", "1.0.0", 1);
	old = fleet_find_id(&fleet, "a");
	shell_fails = true; /* the load takes its time */
	list_entry("a", "n", "1.0.1", 2);
	poll_list();
	run();
	ck_assert_int_eq(old->status, STATUS_LOADED); /* still there */
	shell_fails = false;
	TAILQ_LAST(&fleet.artifacts, artifact_list)->working = false;
	pass(0);
	ck_assert_str_eq(fleet_find_id(&fleet, "a")->listing.version, "1.0.1");
	ck_assert_int_eq(old->status, STATUS_UNLOADED);
	ck_assert_int_eq(old->unload_reason, UNLOAD_REPLACED);
	/* Kept for probation, then forgotten. */
	pass(300 * SEC - 1);
	ck_assert_uint_eq(drops, 0);
	pass(1);
	ck_assert_uint_eq(drops, 1);
	teardown();
}
END_TEST

START_TEST (new_id_of_the_name_replaces_the_one_that_left) {
	setup();
	list_and_load("a", "n", "1.0.0", 1);
	list_and_load("b", "n", "1.1.0", 2);
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADED);
	ck_assert_uint_eq(fleet.unloads[UNLOAD_REPLACED], 1);
	ck_assert_uint_eq(fleet.unloads[UNLOAD_WITHDRAWN], 0);
	teardown();
}
END_TEST

START_TEST (replaces_says_it_outright) {
	struct artlist_entry *e;

	setup();
	list_and_load("a", "n", "1.0.0", 1);
	list_entry("a", "n", "1.0.0", 1);
	e = list_entry("b", "other", "1.0.0", 2);
	memcpy(e->replaces, "a", 2);
	poll_list();
	run();
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADED);
	ck_assert_int_eq(status_of("b"), STATUS_LOADED);
	/* Still listed, both: no tug-of-war. */
	list_entry("a", "n", "1.0.0", 1);
	e = list_entry("b", "other", "1.0.0", 2);
	memcpy(e->replaces, "a", 2);
	poll_list();
	run();
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADED);
	ck_assert_uint_eq(loads, 2);
	teardown();
}
END_TEST

START_TEST (a_failed_replacement_keeps_the_old_one) {
	int i;

	setup();
	list_and_load("a", "n", "1.0.0", 1);
	load_result = WORK_REFUSED;
	for (i = 0; i < 4; i++) {
		list_entry("b", "n", "1.1.0", 2);
		poll_list();
		run();
	}
	ck_assert_int_eq(status_of("b"), STATUS_FAILED);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	/* When the new one is withdrawn as well, nothing holds the old. */
	poll_list();
	poll_list();
	poll_list();
	run();
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 0);
	teardown();
}
END_TEST

START_TEST (changed_parameters_replace) {
	setup();
	list_and_load("a", "n", "1.0.0", 1);
	list_entry("a", "n", "1.0.0", 1)->params_len = 2;
	poll_list();
	run();
	ck_assert_uint_eq(loads, 2);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 1);
	ck_assert_uint_eq(fleet_find_id(&fleet, "a")->listing.params_len, 2);
	teardown();
}
END_TEST

/* ---- places ---- */

START_TEST (the_first_loaded_makes_room_and_does_not_flap) {
	int i;

	setup();
	list_and_load("a", "x", "1.0.0", 1);
	for (i = 0; i < 3; i++) {
		list_entry("a", "x", "1.0.0", 1);
		list_entry("b", "y", "1.0.0", 2);
		list_entry("c", "z", "1.0.0", 3);
		poll_list();
		run();
	}
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADED);
	ck_assert_uint_eq(fleet.unloads[UNLOAD_EVICTED], 1);
	ck_assert_uint_eq(loads, 3);
	/* A place becomes free: it is back. */
	ck_assert_int_eq(fleet_unload(&fleet, "b", now), 0);
	run();
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	ck_assert_int_eq(status_of("b"), STATUS_UNLOADED);
	teardown();
}
END_TEST

START_TEST (what_the_operator_unloads_stays_out) {
	setup();
	list_and_load("a", "x", "1.0.0", 1);
	ck_assert_int_eq(fleet_unload(&fleet, "a", now), 0);
	run();
	ck_assert_int_eq(fleet_unload(&fleet, "a", now), -ESRCH);
	ck_assert_int_eq(fleet_unload(&fleet, "b", now), -ENOENT);
	list_entry("a", "x", "1.0.0", 1);
	poll_list();
	run();
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADED);
	ck_assert_int_eq(fleet_pardon(&fleet, "a", now), 0);
	run();
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	teardown();
}
END_TEST

/* ---- rollback ---- */

START_TEST (a_breach_that_holds_over_the_delay_rolls_back) {
	setup();
	list_and_load("a", "n", "1.0.0", 1);
	sample("a", 11);
	ck_assert_int_eq(status_of("a"), STATUS_RUNNING);
	ck_assert_int_eq(
	    fleet_next_deadline(&fleet, now), now.boot_ns + 5 * SEC);
	samples = 0;
	pass(5 * SEC);
	ck_assert_uint_eq(samples, 1); /* it is looked at again, */
	pass(0);
	ck_assert_uint_eq(samples, 1); /* once */
	sample("a", 11);
	ck_assert_int_eq(status_of("a"), STATUS_ROLLED_BACK);
	ck_assert_uint_eq(events[EVENT_PROGRAM_ROLLED_BACK], 1);
	ck_assert_uint_eq(rollback_status_count, 3);
	ck_assert_int_eq(rollback_statuses[0], ROLLBACK_INITIATED);
	ck_assert_int_eq(rollback_statuses[1], ROLLBACK_IN_PROGRESS);
	ck_assert_int_eq(rollback_statuses[2], ROLLBACK_COMPLETED);
	ck_assert_uint_eq(state.rollbacks[0].threshold, THRESHOLD_MAX_ERRORS);
	ck_assert(state.rollbacks[0].value == 11);
	list_entry("a", "n", "1.0.0", 1);
	poll_list();
	run();
	ck_assert_uint_eq(loads, 1);
	teardown();
}
END_TEST

/* Neither starts the delay anew, cuts it short, nor is measured by it. */
START_TEST (clock_steps_do_not_move_a_rollback) {
	setup();
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
	teardown();
}
END_TEST

/* What is on its way out already is not rolled back as well. */
START_TEST (a_breach_during_an_unload_changes_nothing) {
	setup();
	fleet.rules.rollback_delay_ns = 0;
	list_and_load("a", "n", "1.0.0", 1);
	unload_at_once = false;
	ck_assert_int_eq(fleet_unload(&fleet, "a", now), 0);
	run();
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADING);
	sample("a", 11);
	run();
	ck_assert_int_eq(
	    fleet_rollback(&fleet, "a",
		&(struct rollback_cause){ .reason = ROLLBACK_MANUAL }, now),
	    -EALREADY);
	fleet_unloaded(&fleet, fleet_find_id(&fleet, "a"), now);
	run();
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADED);
	ck_assert_uint_eq(rollback_status_count, 0);
	ck_assert_uint_eq(events[EVENT_PROGRAM_ROLLED_BACK], 0);
	teardown();
}
END_TEST

START_TEST (a_breach_in_probation_restores_the_previous_version) {
	setup();
	fleet.rules.rollback_delay_ns = 0;
	list_and_load("a", "n", "1.0.0", 1);
	pass(1 * SEC);
	list_and_load("b", "n", "1.1.0", 2);
	sample("b", 11);
	run();
	ck_assert_int_eq(status_of("b"), STATUS_ROLLED_BACK);
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	ck_assert_str_eq(state.rollbacks[0].restored_version, "1.0.0");
	ck_assert_uint_eq(state.rollbacks[0].threshold, THRESHOLD_MAX_ERRORS);
	teardown();
}
END_TEST

START_TEST (rollback_is_complete_only_when_the_kernel_let_go) {
	setup();
	list_and_load("a", "n", "1.0.0", 1);
	unload_at_once = false;
	ck_assert_int_eq(
	    fleet_rollback(&fleet, "a",
		&(struct rollback_cause){ .reason = ROLLBACK_MANUAL }, now),
	    0);
	run();
	ck_assert_int_eq(status_of("a"), STATUS_UNLOADING);
	ck_assert_uint_eq(rollback_status_count, 2);
	ck_assert_int_eq(
	    fleet_rollback(&fleet, "a",
		&(struct rollback_cause){ .reason = ROLLBACK_MANUAL }, now),
	    -EALREADY);
	fleet_unloaded(&fleet, fleet_find_id(&fleet, "a"), now);
	run();
	ck_assert_int_eq(rollback_statuses[2], ROLLBACK_COMPLETED);
	teardown();
}
END_TEST

START_TEST (rollback_in_probation_restores_the_previous_version) {
	setup();
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
	ck_assert_int_eq(
	    fleet_next_deadline(&fleet, now), now.boot_ns + 58 * SEC);
	list_entry("b", "n", "1.1.0", 2);
	poll_list();
	list_entry("b", "n", "1.1.0", 2);
	poll_list();
	list_entry("b", "n", "1.1.0", 2);
	poll_list();
	run();
	ck_assert_int_eq(status_of("a"), STATUS_LOADED);
	ck_assert_int_eq(status_of("b"), STATUS_ROLLED_BACK);
	teardown();
}
END_TEST

START_TEST (a_restore_that_fails_still_takes_the_bad_one_out) {
	setup();
	list_and_load("a", "n", "1.0.0", 1);
	list_and_load("b", "n", "1.1.0", 2);
	load_result = WORK_TRANSIENT;
	ck_assert_int_eq(
	    fleet_rollback(&fleet, "b",
		&(struct rollback_cause){ .reason = ROLLBACK_MANUAL }, now),
	    0);
	run();
	ck_assert_int_eq(status_of("b"), STATUS_ROLLED_BACK);
	ck_assert_int_eq(status_of("a"), STATUS_FAILED);
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 0);
	teardown();
}
END_TEST

START_TEST (after_probation_there_is_nothing_to_restore) {
	setup();
	fleet.rules.default_ttl_sec = 3600;
	list_and_load("a", "n", "1.0.0", 1);
	list_and_load("b", "n", "1.1.0", 2);
	pass(300 * SEC);
	ck_assert_ptr_null(fleet_find_id(&fleet, "a"));
	ck_assert_int_eq(
	    fleet_rollback(&fleet, "b",
		&(struct rollback_cause){ .reason = ROLLBACK_MANUAL }, now),
	    0);
	run();
	ck_assert_uint_eq(fleet_loaded_count(&fleet), 0);
	teardown();
}
END_TEST

START_TEST (signed_limits_tighten_and_never_loosen) {
	setup();
	verified.limits.max_errors = 3;
	verified.limits.max_violations = 1000;
	list_and_load("a", "n", "1.0.0", 1);
	ck_assert(fleet_find_id(&fleet, "a")->limits.max_errors == 3);
	ck_assert(fleet_find_id(&fleet, "a")->limits.max_violations == 100);
	teardown();
}
END_TEST

/* ---- the end ---- */

START_TEST (stop_takes_everything_out_and_starts_nothing) {
	setup();
	list_entry("a", "x", "1.0.0", 1);
	list_entry("b", "y", "1.0.0", 2);
	poll_list();
	run();
	unload_at_once = false;
	fleet_stop(&fleet, now);
	run();
	ck_assert(!fleet_is_empty(&fleet));
	fleet_unloaded(&fleet, fleet_find_id(&fleet, "a"), now);
	fleet_unloaded(&fleet, fleet_find_id(&fleet, "b"), now);
	list_entry("c", "z", "1.0.0", 3);
	poll_list();
	run();
	ck_assert(fleet_is_empty(&fleet));
	ck_assert_uint_eq(fleet.unloads[UNLOAD_SHUTDOWN], 2);
	ck_assert_uint_eq(loads, 2);
	/* A shutdown is no tombstone. */
	ck_assert_uint_eq(
	    state_artifact_find(&state, "a", entries[0].sha256) == NULL, 1);
	teardown();
}
END_TEST

UNIT_MAIN("fleet", listed_is_loaded_and_then_running,
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
    two_of_one_name_run_side_by_side, withdrawn_after_two_good_polls,
    withdrawal_can_be_turned_off,
    new_checksum_under_an_id_replaces_without_a_gap,
    new_id_of_the_name_replaces_the_one_that_left, replaces_says_it_outright,
    a_failed_replacement_keeps_the_old_one, changed_parameters_replace,
    the_first_loaded_makes_room_and_does_not_flap,
    what_the_operator_unloads_stays_out,
    a_breach_that_holds_over_the_delay_rolls_back,
    clock_steps_do_not_move_a_rollback,
    a_breach_during_an_unload_changes_nothing,
    a_breach_in_probation_restores_the_previous_version,
    rollback_is_complete_only_when_the_kernel_let_go,
    rollback_in_probation_restores_the_previous_version,
    a_restore_that_fails_still_takes_the_bad_one_out,
    after_probation_there_is_nothing_to_restore,
    signed_limits_tighten_and_never_loosen,
    stop_takes_everything_out_and_starts_nothing)
