/* SPDX-License-Identifier: ISC */
/*
 * What is wrong with the agent and how bad it is, with a fake clock: who is
 * blamed, in the words of agentd(8), and what is not yet worth an alarm.
 */
#include "agentd/health.h"

#include <string.h>

#include "agentd/agent.h"
#include "common/strnum.h"
#include "tests/unit/unit.h"

static struct agent agent;
static struct moment now;
static struct snapshot_reason reasons[HEALTH_REASONS_MAX];

/* All is well. */
static void
setup(void)
{
	int role;

	memset(&agent, 0, sizeof(agent));
	now.boot_ns = 1000 * NSEC_PER_SEC;
	now.wall_ns = INT64_C(1700000000) * NSEC_PER_SEC;
	for (role = 0; role < PROC_MAX; role++) {
		agent.workers[role].role = (enum proc_role)role;
		agent.workers[role].state = WORKER_READY;
	}
	agent.observed.polled = true;
	agent.observed.poll.result = POLL_NOT_MODIFIED;
	agent.observed.vault_known = true;
	agent.observed.vault.ok = 1;
	agent.observed.telem.shown.connected = 1;
	agent.observed.api_known = true;
	agent.observed.api.listening = 1;
	strcpy(agent.config.state_dir, "/var/lib/aegisflux");
}

static size_t
find(void)
{
	return health_find(&agent, now, reasons, nitems(reasons));
}

static void
assert_well(void)
{
	size_t n = find();

	ck_assert_msg(n == 0, "%s: %s", reasons[0].component, reasons[0].text);
	ck_assert_int_eq(health_of(reasons, n), HEALTH_HEALTHY);
}

/* One thing is wrong: this. */
static void
assert_reason(
    enum snapshot_health health, const char *component, const char *text)
{
	size_t n = find();

	ck_assert_uint_eq(n, 1);
	ck_assert_str_eq(reasons[0].component, component);
	ck_assert_str_eq(reasons[0].text, text);
	ck_assert_uint_eq(reasons[0].unhealthy, health == HEALTH_UNHEALTHY);
	ck_assert_int_eq(health_of(reasons, n), health);
}

/* ROLE is in STATE since so long. */
static struct worker_proc *
worker(enum proc_role role, enum worker_state state, int64_t since_ns)
{
	struct worker_proc *w = &agent.workers[role];

	w->state = state;
	w->since_boot_ns = now.boot_ns - since_ns;
	return w;
}

START_TEST (an_agent_that_is_well_has_no_reasons) {
	setup();
	assert_well();
	/* Before anything was heard, nothing is wrong yet. */
	setup();
	agent.observed.polled = agent.observed.vault_known = false;
	agent.observed.api_known = false;
	agent.observed.poll.result = POLL_FAILED;
	agent.observed.vault.ok = agent.observed.api.listening = 0;
	assert_well();
}
END_TEST

/* ---- workers ---- */

START_TEST (a_worker_is_missed_by_its_name) {
	static const struct {
		enum proc_role role;
		const char *component;
		enum snapshot_health health;
	} rows[] = {
		{ PROC_REGISTRY, "registry", HEALTH_DEGRADED },
		{ PROC_VAULT, "vault", HEALTH_DEGRADED },
		{ PROC_VERIFY, "verifyd", HEALTH_UNHEALTHY },
		{ PROC_BPF, "bpfd", HEALTH_UNHEALTHY },
		{ PROC_API, "apid", HEALTH_DEGRADED },
		{ PROC_TELEM, "telemd", HEALTH_DEGRADED },
	};
	char text[AEGIS_TEXT_SIZE];
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		setup();
		strcpy(worker(rows[i].role, WORKER_WAITING, 9 * NSEC_PER_SEC)
			   ->last_exit,
		    "killed by signal 9 (Killed)");
		(void)snprintf(text, sizeof(text),
		    "worker %s is not running (killed by signal 9 (Killed))",
		    rows[i].component);
		assert_reason(rows[i].health, rows[i].component, text);
	}
}
END_TEST

START_TEST (a_hiccup_is_no_alarm) {
	static const struct {
		enum worker_state state;
		int64_t since_ns;
		unsigned int failures;
		bool missed;
	} rows[] = {
		{ WORKER_STARTING, 0, 0, false },
		{ WORKER_STARTING, 2 * NSEC_PER_SEC - 1, 0, false },
		{ WORKER_STARTING, 2 * NSEC_PER_SEC, 0, true },
		{ WORKER_STARTING, 2 * NSEC_PER_SEC + 1, 0, true },
		{ WORKER_WAITING, 2 * NSEC_PER_SEC - 1, 1, false },
		{ WORKER_WAITING, 2 * NSEC_PER_SEC, 1, true },
		/* Twice in succession is none. */
		{ WORKER_WAITING, 0, 2, true },
		{ WORKER_STARTING, 0, 3, true },
		/* Not wanted, or back: whatever was before. */
		{ WORKER_OFF, 9 * NSEC_PER_SEC, 9, false },
		{ WORKER_READY, 0, 9, false },
	};
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		setup();
		worker(PROC_API, rows[i].state, rows[i].since_ns)->failures =
		    rows[i].failures;
		if (rows[i].missed)
			assert_reason(HEALTH_DEGRADED, "apid",
			    "worker apid is not running (starting)");
		else
			assert_well();
	}
}
END_TEST

START_TEST (what_a_dead_telemd_last_said_is_not_held_against_it) {
	setup();
	worker(PROC_TELEM, WORKER_STARTING, 9 * NSEC_PER_SEC);
	agent.observed.telem.shown.connected = 0;
	agent.observed.telem.shown.spool_full = 1;
	assert_reason(HEALTH_DEGRADED, "telemd",
	    "worker telemd is not running (starting)");
}
END_TEST

/* ---- the registry ---- */

START_TEST (a_registry_that_does_not_answer) {
	static const enum poll_result failed[] = { POLL_FAILED, POLL_CACHED };
	size_t i;

	for (i = 0; i < nitems(failed); i++) {
		setup();
		agent.observed.poll.result = failed[i];
		agent.observed.poll.failures = 3;
		strcpy(agent.observed.poll.error, "HTTP status 503");
		assert_reason(HEALTH_DEGRADED, "registry",
		    "3 polls in succession failed: HTTP status 503");
	}
	setup();
	agent.observed.poll.result = POLL_CHANGED;
	assert_well();
	agent.observed.from_cache = true;
	assert_reason(HEALTH_DEGRADED, "cache",
	    "running from the cached list, the registry has not answered "
	    "since start");
}
END_TEST

START_TEST (a_list_past_its_time) {
	setup();
	agent.observed.poll.list_expires_wall_ns = now.wall_ns + 1;
	assert_well();
	agent.observed.poll.list_expires_wall_ns = now.wall_ns;
	assert_well();
	agent.observed.poll.list_expires_wall_ns = now.wall_ns - 1;
	assert_reason(HEALTH_DEGRADED, "registry",
	    "the list expired at 2023-11-14T22:13:19.999999Z and is not "
	    "renewed");
	/* None that was ever polled. */
	agent.observed.polled = false;
	assert_well();
}
END_TEST

/* ---- keys ---- */

START_TEST (without_a_key_nothing_can_be_loaded) {
	setup();
	agent.keys = -1;
	assert_reason(HEALTH_UNHEALTHY, "vault",
	    "no verification key is known: nothing can be loaded");
	/* Expired ones are no reason beside it. */
	agent.keys_expired = true;
	assert_reason(HEALTH_UNHEALTHY, "vault",
	    "no verification key is known: nothing can be loaded");
}
END_TEST

START_TEST (keys_that_vault_does_not_confirm) {
	setup();
	agent.keys_expired = true;
	agent.config.vault_key_max_age_sec = 86400;
	assert_reason(HEALTH_DEGRADED, "vault",
	    "the keys are no longer used, Vault has not confirmed them for "
	    "86400 s: nothing new is loaded");
	setup();
	agent.observed.vault.ok = 0;
	strcpy(agent.observed.vault.error, "HTTP status 403");
	assert_reason(HEALTH_DEGRADED, "vault", "HTTP status 403");
}
END_TEST

/* ---- NATS, the spool, the API, the state ---- */

START_TEST (events_that_are_not_delivered) {
	struct msg_telem_state *telem = &agent.observed.telem.shown;

	setup();
	telem->connected = 0;
	assert_reason(HEALTH_DEGRADED, "nats", "not connected: connecting");
	strcpy(telem->error, "Connection refused");
	assert_reason(
	    HEALTH_DEGRADED, "nats", "not connected: Connection refused");
	setup();
	telem->spool_full = 1;
	assert_reason(HEALTH_DEGRADED, "spool",
	    "the event spool is full: events are dropped and counted");
}
END_TEST

START_TEST (what_else_can_be_wrong) {
	setup();
	agent.observed.api.listening = 0;
	strcpy(agent.observed.api.error, "port 8080: Address already in use");
	assert_reason(
	    HEALTH_DEGRADED, "apid", "port 8080: Address already in use");
	setup();
	agent.state_failing = true;
	assert_reason(HEALTH_DEGRADED, "state",
	    "the state cannot be written to /var/lib/aegisflux");
	setup();
	agent.stopping = true;
	assert_reason(HEALTH_UNHEALTHY, "agentd", "shutting down");
}
END_TEST

/* ---- together ---- */

static void
break_everything(void)
{
	int role;

	setup();
	for (role = PROC_FIRST_WORKER; role <= PROC_LAST_WORKER; role++)
		if (role != PROC_TELEM)
			worker((enum proc_role)role, WORKER_WAITING,
			    9 * NSEC_PER_SEC);
	agent.keys = -1;
	agent.observed.vault.ok = 0;
	agent.observed.poll.result = POLL_CACHED;
	agent.observed.from_cache = true;
	agent.observed.poll.list_expires_wall_ns = 1;
	agent.observed.telem.shown.connected = 0;
	agent.observed.telem.shown.spool_full = 1;
	agent.observed.api.listening = 0;
	agent.state_failing = agent.stopping = true;
}

START_TEST (all_at_once_has_room_and_no_more_than_there_is) {
	size_t n, max, i;

	break_everything();
	n = find();
	ck_assert_uint_eq(n, 5 + 2 + 3 + 2 + 1 + 1 + 1);
	ck_assert_uint_lt(n, HEALTH_REASONS_MAX);
	ck_assert_int_eq(health_of(reasons, n), HEALTH_UNHEALTHY);
	for (max = 0; max < n; max++) {
		memset(reasons, 0x55, sizeof(reasons));
		ck_assert_uint_eq(health_find(&agent, now, reasons, max), max);
		for (i = 0; i < sizeof(reasons[max]); i++)
			ck_assert_uint_eq(
			    ((unsigned char *)&reasons[max])[i], 0x55);
	}
}
END_TEST

START_TEST (one_that_is_unhealthy_is_enough) {
	struct snapshot_reason r[3] = { { .unhealthy = 0 } };

	ck_assert_int_eq(health_of(r, 0), HEALTH_HEALTHY);
	ck_assert_int_eq(health_of(r, 3), HEALTH_DEGRADED);
	r[2].unhealthy = 1;
	ck_assert_int_eq(health_of(r, 3), HEALTH_UNHEALTHY);
	ck_assert_int_eq(health_of(r, 2), HEALTH_DEGRADED);
}
END_TEST

/* Workers are not trusted, and neither is what killed them. */
START_TEST (foreign_words_are_cut_and_scrubbed) {
	size_t size = sizeof(agent.observed.poll.error), i;

	setup();
	strcpy(worker(PROC_API, WORKER_WAITING, 9 * NSEC_PER_SEC)->last_exit,
	    "a\nb\x1b[2J\xff");
	assert_reason(
	    HEALTH_DEGRADED, "apid", "worker apid is not running (a?b?[2J?)");
	setup();
	agent.observed.poll.result = POLL_FAILED;
	agent.observed.poll.failures = UINT32_MAX;
	memset(agent.observed.poll.error, 'x', size - 1);
	ck_assert_uint_eq(find(), 1);
	ck_assert_uint_eq(strlen(reasons[0].text), AEGIS_TEXT_SIZE - 1);
	/* Cut in the middle of a letter, with one or the other number. */
	memset(agent.observed.poll.error, '\0', size);
	for (i = 0; i + 2 < size; i += 2)
		memcpy(agent.observed.poll.error + i, "\xc3\xa4", 2);
	for (i = 1; i <= 10; i += 9) {
		agent.observed.poll.failures = (uint32_t)i;
		ck_assert_uint_eq(find(), 1);
		ck_assert(
		    str_is_text(reasons[0].text, sizeof(reasons[0].text)));
	}
}
END_TEST

UNIT_MAIN("health", an_agent_that_is_well_has_no_reasons,
    a_worker_is_missed_by_its_name, a_hiccup_is_no_alarm,
    what_a_dead_telemd_last_said_is_not_held_against_it,
    a_registry_that_does_not_answer, a_list_past_its_time,
    without_a_key_nothing_can_be_loaded, keys_that_vault_does_not_confirm,
    events_that_are_not_delivered, what_else_can_be_wrong,
    all_at_once_has_room_and_no_more_than_there_is,
    one_that_is_unhealthy_is_enough, foreign_words_are_cut_and_scrubbed)
