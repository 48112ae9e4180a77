/* SPDX-License-Identifier: ISC */
/*
 * agentd: events that wait for telemd.  Nothing is told out of order, twice
 * to the same telemd or not at all to the next one; what cannot be kept is
 * counted.
 */
#include "agentd/events.h"

#include "agentd/agent.h"
#include "agentd/feed.h"
#include "tests/unit/imsg_fixture.h"

#define KEPT_MAX 2048 /* events.c's own */

static struct agent agent;
static struct artifact artifact;
static struct fixture wire;

/* ---- agentd.c's part: nothing here comes to that ---- */

void
agent_unloaded(struct agent *a, uint64_t handle)
{
	ck_abort_msg("a program is out");
}

void
agent_stop(struct agent *a)
{
	ck_abort_msg("agentd stops");
}

void
agent_stopped(struct agent *a)
{
	ck_abort_msg("agentd stops");
}

void
agent_arm_timers(struct agent *a)
{
	ck_abort_msg("agentd has new periods");
}

/* ---- telemd's part ---- */

static void
setup(void)
{
	log_set_level(LOG_LEVEL_ERROR); /* each is logged, too */
	memset(&agent, 0, sizeof(agent));
	memset(&artifact, 0, sizeof(artifact));
	agent.events = events_new();
	agent.feed = feed_new();
	fixture_open(&wire, PROC_AGENTD, PROC_TELEM);
}

static void
teardown(void)
{
	events_free(agent.events);
	feed_free(agent.feed);
	fixture_close(&wire);
}

/* Nothing was said to it before. */
static void
telemd_starts(void)
{
	fixture_close(&wire);
	fixture_open(&wire, PROC_AGENTD, PROC_TELEM);
	agent.workers[PROC_TELEM].channel = wire.ch;
	agent.workers[PROC_TELEM].state = WORKER_READY;
	events_resend(&agent);
}

static void
telemd_dies(void)
{
	agent.workers[PROC_TELEM].channel = NULL;
}

/* One that is kept, and one that is not. */
static void
problem(void)
{
	events_problem(&agent, &artifact, "detached", "eth0 is gone");
}

static void
heartbeat(void)
{
	events_heartbeat(&agent);
}

/* The number of the next event that telemd reads, or -1. */
static int64_t
next(void)
{
	fixture_turn(&wire);
	return raw_recv(wire.raw);
}

START_TEST (what_was_not_accepted_is_said_again) {
	telemd_starts();
	problem();
	problem();
	problem();
	ck_assert_int_eq(next(), 1);
	ck_assert_int_eq(next(), 2);
	ck_assert_int_eq(next(), 3);
	/* Room for more is no reason to say it twice. */
	events_pump(&agent);
	ck_assert_int_eq(next(), -1);
	ck_assert_int_eq(events_accepted(agent.events, 2), 0);
	ck_assert_uint_eq(events_waiting(agent.events), 1);
	telemd_dies();
	problem();
	telemd_starts();
	ck_assert_int_eq(next(), 3);
	ck_assert_int_eq(next(), 4);
	ck_assert_int_eq(next(), -1);
}
END_TEST

START_TEST (acceptance_is_cumulative_and_of_what_was_sent) {
	problem();
	problem();
	ck_assert_int_eq(events_accepted(agent.events, 3), -EINVAL);
	ck_assert_int_eq(events_accepted(agent.events, UINT64_MAX), -EINVAL);
	ck_assert_uint_eq(events_waiting(agent.events), 2);
	ck_assert_int_eq(events_accepted(agent.events, 0), 0);
	ck_assert_uint_eq(events_waiting(agent.events), 2);
	ck_assert_int_eq(events_accepted(agent.events, 2), 0);
	ck_assert_uint_eq(events_waiting(agent.events), 0);
	/* An answer that comes late or twice takes nothing along. */
	problem();
	ck_assert_int_eq(events_accepted(agent.events, 1), 0);
	ck_assert_uint_eq(events_waiting(agent.events), 1);
}
END_TEST

START_TEST (a_heartbeat_waits_for_nobody) {
	heartbeat();
	ck_assert_uint_eq(events_waiting(agent.events), 0);
	ck_assert_uint_eq(
	    events_dropped(agent.events, EVENT_AGENT_HEARTBEAT), 1);
	telemd_starts();
	ck_assert_int_eq(next(), -1);
	/* It has a number, which is accepted like the others. */
	heartbeat();
	ck_assert_int_eq(next(), 2);
	ck_assert_int_eq(events_accepted(agent.events, 2), 0);
	ck_assert_uint_eq(
	    events_dropped(agent.events, EVENT_AGENT_HEARTBEAT), 1);
}
END_TEST

/*
 * telemd does not read: what it was not given stays, in order, and a heartbeat
 * would overtake it, so that accepting that would accept all the rest.
 */
START_TEST (nothing_overtakes_what_waits) {
	const unsigned int many = 1000;
	unsigned int i, given;
	int64_t last = 0, n;

	telemd_starts();
	for (i = 0; i < many; i++)
		problem();
	ck_assert_uint_eq(events_waiting(agent.events), many);
	/* Far less than would close the channel. */
	ck_assert_uint_lt(imsg_backlog(wire.ch), IMSG_HIGH_WATER * 3 / 4);
	heartbeat();
	ck_assert_uint_eq(
	    events_dropped(agent.events, EVENT_AGENT_HEARTBEAT), 1);
	for (given = 0; (n = next()) > 0; given++)
		ck_assert_int_eq(n, ++last);
	ck_assert_uint_gt(given, 0);
	ck_assert_uint_lt(given, many);
	/* There would be room for it now. */
	heartbeat();
	ck_assert_uint_eq(
	    events_dropped(agent.events, EVENT_AGENT_HEARTBEAT), 2);
	ck_assert_int_eq(next(), -1);
	while (last < many) {
		events_pump(&agent);
		for (given = 0; (n = next()) > 0; given++)
			ck_assert_int_eq(n, ++last);
		ck_assert_uint_gt(given, 0);
	}
	heartbeat();
	ck_assert_int_eq(next(), many + 3);
	ck_assert_uint_eq(wire.closed, 0);
}
END_TEST

START_TEST (the_oldest_goes_when_too_many_wait) {
	unsigned int i;

	for (i = 0; i < KEPT_MAX; i++)
		problem();
	ck_assert_uint_eq(events_dropped(agent.events, EVENT_PROGRAM_ERROR), 0);
	problem();
	problem();
	ck_assert_uint_eq(events_waiting(agent.events), KEPT_MAX);
	ck_assert_uint_eq(events_dropped(agent.events, EVENT_PROGRAM_ERROR), 2);
	telemd_starts();
	ck_assert_int_eq(next(), 3);
}
END_TEST

UNIT_FIXTURE_MAIN("events", setup, teardown,
    what_was_not_accepted_is_said_again,
    acceptance_is_cumulative_and_of_what_was_sent, a_heartbeat_waits_for_nobody,
    nothing_overtakes_what_waits, the_oldest_goes_when_too_many_wait)
