/* SPDX-License-Identifier: ISC */
/*
 * agentd: tc filters that leave.  Gone is what bpfd says is gone; a bpfd that
 * dies or a kernel that refuses leaves the artifact where it is.
 */
#include "agentd/agent.h"
#include "agentd/proc.h"
#include "tests/unit/fleet_fixture.h"
#include "tests/unit/imsg_fixture.h"

static struct agent agent;
static struct fixture wire;
static unsigned int unloaded; /* calls of agent_unloaded() */
static uint64_t last_unloaded;

/* ---- agentd.c's part ---- */

void
agent_unloaded(struct agent *a, uint64_t handle)
{
	ck_assert_ptr_eq(a, &agent);
	unloaded++;
	last_unloaded = handle;
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
}

/* ---- bpfd's part ---- */

static const struct tc_filter one = { 5, 1, 77, 50, 0, 0 };
static const struct tc_filter two = { 5, 2, 78, 60, 1, 0 };

static void
bpfd_starts(void)
{
	agent.workers[PROC_BPF].channel = wire.ch;
	agent.workers[PROC_BPF].state = WORKER_READY;
}

static void
bpfd_dies(void)
{
	agent.workers[PROC_BPF].channel = NULL;
	agent.workers[PROC_BPF].state = WORKER_WAITING;
	filters_lost(&agent);
}

static int
kept(void)
{
	struct msg_filters_kept msg = { 0 };
	struct imsg m = { .type = MSG_FILTERS_KEPT, .fd = -1, .data = &msg };

	return filters_handle_kept(&m, &agent);
}

static int
detached(uint64_t handle, const struct tc_filter *filter, const char *error)
{
	struct msg_filter_detached msg = { .filter = *filter };
	struct imsg m = { .type = MSG_FILTER_DETACHED,
		.id = handle,
		.fd = -1,
		.data = &msg };

	if (error != NULL) {
		msg.result = WORK_REFUSED;
		str_copy_cut(msg.error, sizeof(msg.error), error);
	}
	return filters_handle_detached(&m, &agent);
}

/* How many requests bpfd has got since it was last asked. */
static unsigned int
requests(void)
{
	unsigned int n = 0;

	while (raw_recv(wire.raw) != -1)
		n++;
	return n;
}

static struct artifact *
begin(void)
{
	struct artifact *a;

	memset(&agent, 0, sizeof(agent));
	unloaded = 0;
	setup();
	list_and_load("a", "n", "1.0.0", 1);
	unload_at_once = false;
	ck_assert_int_eq(fleet_unload(&fleet, "a", now), 0);
	run();
	a = fleet_find_id(&fleet, "a");
	agent.fleet = fleet;
	TAILQ_INIT(&agent.fleet.artifacts);
	TAILQ_INIT(&agent.fleet.actions);
	TAILQ_CONCAT(&agent.fleet.artifacts, &fleet.artifacts, entry);
	fleet.index = (struct artifact_index){ 0 };
	fixture_open(&wire, PROC_AGENTD, PROC_BPF);
	bpfd_starts();
	ck_assert_int_eq(kept(), 0);
	return a;
}

static void
end(void)
{
	filters_free(&agent);
	fixture_close(&wire);
	fleet_fini(&agent.fleet);
	teardown();
}

START_TEST (it_has_gone_when_all_its_filters_have) {
	const struct artifact *a = begin();

	filters_detach(&one, a->handle, &agent);
	filters_detach(&two, a->handle, &agent);
	ck_assert_uint_eq(requests(), 2);
	ck_assert_uint_eq(filters_awaited(&agent), 2);
	ck_assert_int_eq(detached(a->handle, &one, NULL), 0);
	ck_assert(filters_wait(&agent, a->handle)); /* all else is closed */
	ck_assert_uint_eq(unloaded, 0);
	ck_assert_int_eq(detached(a->handle, &two, NULL), 0);
	ck_assert_uint_eq(unloaded, 1);
	ck_assert_uint_eq(last_unloaded, a->handle);
	ck_assert(!filters_wait(&agent, a->handle));
	/* What nobody asked for breaks the rules. */
	ck_assert_int_eq(detached(a->handle, &two, NULL), -EINVAL);
	end();
}
END_TEST

START_TEST (a_refused_one_has_not_gone) {
	const struct artifact *a = begin();

	filters_detach(&one, a->handle, &agent);
	filters_detach(&two, a->handle, &agent);
	ck_assert(filters_wait(&agent, a->handle));
	ck_assert_uint_eq(requests(), 2);
	ck_assert_int_eq(detached(a->handle, &one, "not permitted"), 0);
	ck_assert_int_eq(detached(a->handle, &two, NULL), 0);
	ck_assert_uint_eq(unloaded, 0);
	ck_assert(a->stuck);
	ck_assert_str_eq(a->error,
	    "the tc filter on interface 5, priority 50, handle 0x1, cannot be "
	    "removed: not permitted");
	ck_assert_uint_eq(filters_awaited(&agent), 0);
	/* Again, with the next sample; once at a time. */
	filters_retry(&agent);
	filters_retry(&agent);
	ck_assert_uint_eq(requests(), 1);
	ck_assert_int_eq(detached(a->handle, &one, "not permitted"), 0);
	ck_assert_uint_eq(unloaded, 0);
	filters_retry(&agent);
	ck_assert_uint_eq(requests(), 1);
	ck_assert_int_eq(detached(a->handle, &one, NULL), 0);
	ck_assert_uint_eq(unloaded, 1);
	ck_assert_uint_eq(agent.filters.count, 0);
	end();
}
END_TEST

/* The next bpfd sweeps, and says of each whether it has gone. */
START_TEST (a_dead_bpfd_has_removed_nothing) {
	const struct artifact *a = begin();

	filters_detach(&one, a->handle, &agent);
	ck_assert(filters_wait(&agent, a->handle));
	ck_assert_uint_eq(requests(), 1);
	bpfd_dies();
	ck_assert_int_eq(detached(a->handle, &one, NULL), -EINVAL);
	filters_detach(&two, a->handle, &agent);
	bpfd_starts();
	filters_retry(&agent);
	ck_assert_uint_eq(requests(), 0); /* not before it has swept */
	ck_assert_int_eq(kept(), 0);
	ck_assert_uint_eq(unloaded, 0);
	ck_assert_uint_eq(requests(), 2);
	ck_assert_int_eq(detached(a->handle, &two, "not permitted"), 0);
	ck_assert_int_eq(detached(a->handle, &one, NULL), 0);
	ck_assert_uint_eq(unloaded, 0);
	bpfd_dies();
	bpfd_starts();
	ck_assert_int_eq(kept(), 0);
	ck_assert_uint_eq(requests(), 1);
	ck_assert_int_eq(detached(a->handle, &two, NULL), 0);
	ck_assert_uint_eq(unloaded, 1);
	end();
}
END_TEST

/* Of a failed load, or one too many: nobody waits. */
START_TEST (what_nobody_waits_for_is_tried_again_too) {
	begin();
	filters_detach(&one, 0, &agent);
	ck_assert_uint_eq(requests(), 1);
	ck_assert_int_eq(detached(0, &one, "not permitted"), 0);
	ck_assert_uint_eq(agent.filters.count, 1);
	filters_retry(&agent);
	ck_assert_uint_eq(requests(), 1);
	ck_assert_int_eq(detached(0, &one, NULL), 0);
	ck_assert_uint_eq(agent.filters.count, 0);
	ck_assert_uint_eq(unloaded, 0);
	end();
}
END_TEST

/* ---- a bpfd that is not honest ---- */

static unsigned int breaches;

static void
breached(int reason, const char *text, void *ctx)
{
	breaches++;
	ck_assert_int_eq(reason, -EPROTO);
	bpfd_dies();
}

static void
turn(void)
{
	(void)event_base_loop(wire.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

/* bpfd has attached a filter for an artifact that there is not. */
static void
tell_of_a_filter(uint32_t handle)
{
	struct {
		struct wire_header header;
		struct msg_load_filter filter;
	} m = {
		.header = { .type = MSG_LOAD_FILTER,
		    .len = sizeof(m.filter),
		    .id = 12345 },
		.filter.filter = one,
	};
	int r;

	m.filter.filter.handle = handle;
	while ((r = raw_send(wire.raw, &m, sizeof(m), NULL, 0)) == EAGAIN)
		turn();
	ck_assert_int_eq(r, 0);
}

/* So many filters that nobody wants cost bpfd its channel, and nothing else. */
START_TEST (too_many_filters_cost_bpfd_itself) {
	const struct artifact *a = begin();
	int sv[2];
	uint32_t i;

	filters_detach(&two, a->handle, &agent);
	ck_assert(filters_wait(&agent, a->handle));
	bpfd_dies();
	/* One whose messages agentd takes as it does. */
	fixture_close(&wire);
	memset(&wire, 0, sizeof(wire));
	wire.base = event_base_new();
	ck_assert_int_eq(imsg_socketpair(sv), 0);
	wire.raw = sv[1];
	ck_assert_int_eq(imsg_open(&wire.ch, wire.base, sv[0], PROC_AGENTD,
			     PROC_BPF, peer_bpf.handlers, breached, &agent),
	    0);
	breaches = 0;
	for (i = 1; i < TC_FILTERS_MAX; i++)
		tell_of_a_filter(i);
	for (i = 0; i < 100000 && agent.filters.count < TC_FILTERS_MAX; i++)
		turn();
	ck_assert_uint_eq(agent.filters.count, TC_FILTERS_MAX);
	ck_assert_uint_eq(breaches, 0);
	tell_of_a_filter(TC_FILTERS_MAX);
	for (i = 0; i < 100000 && breaches == 0; i++)
		turn();
	ck_assert_uint_eq(breaches, 1);
	ck_assert_uint_eq(agent.filters.count, TC_FILTERS_MAX);
	/* What waits for a filter waits for the next bpfd. */
	ck_assert_int_eq(a->status, STATUS_UNLOADING);
	ck_assert_uint_eq(unloaded, 0);
	fixture_close(&wire);
	fixture_open(&wire, PROC_AGENTD, PROC_BPF);
	end();
}
END_TEST

UNIT_MAIN("filters", it_has_gone_when_all_its_filters_have,
    a_refused_one_has_not_gone, a_dead_bpfd_has_removed_nothing,
    what_nobody_waits_for_is_tried_again_too, too_many_filters_cost_bpfd_itself)
