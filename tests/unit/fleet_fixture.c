/* SPDX-License-Identifier: ISC */
#include "tests/unit/fleet_fixture.h"

#include <check.h>
#include <string.h>

struct fleet fleet;
struct state state;
struct moment now;
const uint8_t boot_id[16] = { 1 };

/* ---- a registry that lists what it is told ---- */

struct artlist_entry entries[16];
static struct artlist_header header;

struct artlist_entry *
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

void
list_params(struct artlist_entry *e, unsigned int digit)
{
	e->params_off = digit;
	e->params_len = 1;
}

void
poll_list(void)
{
	struct artlist list = { .header = &header,
		.entries = entries,
		.data = (const uint8_t *)"0123456789" };

	fleet_apply_list(&fleet, &list, now);
	header.entry_count = 0;
	run();
}

void
poll_unchanged(unsigned int times)
{
	while (times-- > 0) {
		fleet_list_unchanged(&fleet, now);
		run();
	}
}

void
list_only(const char *id, const char *name, const char *version, int checksum)
{
	list_entry(id, name, version, checksum);
	poll_list();
}

void
list_and_load(
    const char *id, const char *name, const char *version, int checksum)
{
	list_only(id, name, version, checksum);
	ck_assert_int_eq(status_of(id), STATUS_LOADED);
}

void
list_with(unsigned int digit)
{
	list_params(list_entry("a", "n", "1.0.0", 1), digit);
	poll_list();
}

struct artifact *
list_and_hold(unsigned int digit)
{
	shell_fails = true;
	list_with(digit);
	return newest();
}

/* ---- a shell that does all at once, or counts ---- */

unsigned int events[EVENT_TYPE_MAX];
enum rollback_status rollback_statuses[16];
unsigned int rollback_status_count;
unsigned int fetches, loads, kills, samples, drops;
enum proc_role last_killed;
bool shell_fails, silent;
enum work_result fetch_result, verify_result, load_result;
struct verified verified;
bool unload_at_once, in_place;
const char *last_reason;

static void
answer(const struct action *act)
{
	struct artifact *a = fleet_find(&fleet, act->handle), *running;

	switch (act->type) {
	case ACT_FETCH:
		fetches++;
		if (!silent)
			fleet_fetched(
			    &fleet, a, fetch_result, "cannot fetch", now);
		break;
	case ACT_VERIFY:
		if (!silent)
			fleet_verified(&fleet, a, verify_result,
			    "bad signature", &verified, now);
		break;
	case ACT_LOAD:
		running = fleet_runs_already(&fleet, a);
		if (in_place && running != NULL) {
			fleet_params_changed(&fleet, a, running, now);
			break;
		}
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
		last_reason = act->reason;
		if (act->event == EVENT_ROLLBACK_STATUS)
			rollback_statuses[rollback_status_count++] =
			    act->rollback_status;
		break;
	case ACT_SAMPLE:
		samples++;
		break;
	case ACT_KILL:
		kills++;
		last_killed = act->role;
		break;
	case ACT_DROP:
		drops++;
		break;
	default:
		break;
	}
}

void
run(void)
{
	struct action *act;

	while ((act = fleet_next_action(&fleet)) != NULL) {
		answer(act);
		free(act);
	}
}

static void
begin(const struct fleet_rules *rules)
{
	fleet_init(&fleet, rules, &state, boot_id);
	fleet.can_fetch = fleet.can_verify = fleet.can_load = true;
}

void
restart(void)
{
	struct fleet_rules rules = fleet.rules;

	fleet_fini(&fleet);
	begin(&rules);
}

void
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
	begin(&rules);
	memset(events, 0, sizeof(events));
	rollback_status_count = fetches = loads = kills = samples = drops = 0;
	shell_fails = silent = false;
	fetch_result = verify_result = load_result = WORK_OK;
	memset(&verified, 0, sizeof(verified));
	verified.replaces = "";
	verified.limits = (struct loadplan_limits){ -1, -1, -1, -1, -1 };
	unload_at_once = true;
	in_place = false;
	last_reason = NULL;
	header.entry_count = 0;
	now.boot_ns = 1000 * SEC;
	now.wall_ns = INT64_C(1700000000) * SEC;
}

void
teardown(void)
{
	fleet_fini(&fleet);
	state_free(&state);
}

void
pass(int64_t ns)
{
	now.boot_ns += ns;
	now.wall_ns += ns;
	fleet_tick(&fleet, now);
	run();
}

void
sample(const char *id, uint64_t errors)
{
	struct msg_bpf_sampled s = { .boot_ns = now.boot_ns,
		.packets_processed = UINT64_MAX,
		.errors = errors };

	fleet_sampled(&fleet, find(id), &s, now);
	run();
}

void
load_done(struct artifact *a, enum work_result result)
{
	shell_fails = false;
	fleet_load_done(
	    &fleet, a, result, result == WORK_OK ? "" : "cannot load", now);
	run();
}

void
let_go(struct artifact *a)
{
	fleet_unloaded(&fleet, a, now);
	run();
}

void
worker_died(enum proc_role role)
{
	fleet_worker_died(&fleet, role, "killed by signal 9", now);
	run();
}

int
roll_back(const char *id)
{
	const struct rollback_cause cause = { .reason = ROLLBACK_MANUAL };
	int r = fleet_rollback(&fleet, id, &cause, now);

	run();
	return r;
}

int
unload(const char *id)
{
	int r = fleet_unload(&fleet, id, now);

	run();
	return r;
}

int
pardon(const char *id)
{
	int r = fleet_pardon(&fleet, id, now);

	run();
	return r;
}

/* ---- what there is ---- */

struct artifact *
find(const char *id)
{
	return fleet_find_id(&fleet, id);
}

enum program_status
status_of(const char *id)
{
	struct artifact *a = find(id);

	ck_assert_ptr_nonnull(a);
	return a->status;
}

struct artifact *
newest(void)
{
	return TAILQ_LAST(&fleet.artifacts, artifact_list);
}

int64_t
due_in(void)
{
	return fleet_next_deadline(&fleet, now) - now.boot_ns;
}
