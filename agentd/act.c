/* SPDX-License-Identifier: ISC */
/*
 * The fleet's actions, carried out.
 */
#include <event2/event.h>
#include <string.h>
#include <sys/timerfd.h>

#include "agentd/agent.h"
#include "agentd/events.h"
#include "agentd/handover.h"
#include "agentd/peer_bpf.h"
#include "agentd/peer_load.h"
#include "agentd/peer_verify.h"
#include "common/log.h"
#include "common/notify.h"

static void
fetch(struct agent *agent, const struct artifact *a)
{
	struct imsg_channel *ch = proc_channel(agent, PROC_REGISTRY);
	struct msg_fetch_artifact msg = {
		.expected_size = a->listing.size,
	};

	memcpy(
	    msg.artifact_id, a->listing.artifact_id, sizeof(msg.artifact_id));
	memcpy(msg.sha256, a->listing.sha256, sizeof(msg.sha256));
	if (msg_send_FETCH_ARTIFACT(ch, a->handle, &msg) < 0)
		proc_kill(agent, PROC_REGISTRY, "does not read its channel");
}

static void
cancel(struct agent *agent, uint64_t handle)
{
	const struct msg_fetch_cancel msg = { 0 };
	struct imsg_channel *ch = proc_channel(agent, PROC_REGISTRY);

	if (ch != NULL && msg_send_FETCH_CANCEL(ch, handle, &msg) < 0)
		proc_kill(agent, PROC_REGISTRY, "does not read its channel");
}

static void
unload(struct agent *agent, struct artifact *a)
{
	/* A replaced one may come back within its successor's probation. */
	if (a->unload_reason == UNLOAD_REPLACED)
		closer_detach(agent->closer, a->custody, a->handle);
	else
		closer_close(agent->closer, a->custody, a->handle);
	peer_bpf_forget(agent, a);
	agent->snapshot_dirty = true;
}

static void
act(struct agent *agent, const struct action *action)
{
	struct artifact *a = fleet_find(&agent->fleet, action->handle);

	switch (action->type) {
	case ACT_SAMPLE:
		peer_bpf_sample(agent);
		return;
	case ACT_SAVE:
		agent->state_dirty = true;
		agent->snapshot_dirty = true;
		return;
	case ACT_DROP:
		custody_free(action->custody, agent->closer);
		agent->snapshot_dirty = true;
		return;
	case ACT_CANCEL:
		cancel(agent, action->handle);
		return;
	case ACT_KILL:
		proc_kill(agent, action->role, "did not answer in time");
		return;
	default:
		break;
	}
	if (a == NULL)
		return;
	if (a->custody == NULL)
		a->custody = custody_new();
	/* Samples come in hundreds, and are shown when the last one is in. */
	if (action->type != ACT_EVENT ||
	    action->event != EVENT_PROGRAM_TELEMETRY)
		agent->snapshot_dirty = true;
	switch (action->type) {
	case ACT_FETCH:
		fetch(agent, a);
		break;
	case ACT_VERIFY:
		peer_verify_start(agent, a);
		break;
	case ACT_LOAD:
		peer_load_start(agent, a);
		break;
	case ACT_UNLOAD:
		unload(agent, a);
		break;
	case ACT_EVENT:
		events_add(agent, action);
		break;
	case ACT_RELEASE:
		closer_close(agent->closer, a->custody, 0);
		custody_release_files(a->custody);
		break;
	default:
		break;
	}
}

static void
arm_deadline(struct agent *agent)
{
	int64_t at = fleet_next_deadline(&agent->fleet, moment_now());
	int64_t keys_end = peer_verify_keys_end(agent);
	struct itimerspec when = { 0 };

	if (keys_end < at)
		at = keys_end;
	/* Each message comes by here, and few change it. */
	if (at == agent->armed_boot_ns)
		return;
	agent->armed_boot_ns = at;
	if (at != INT64_MAX) {
		when.it_value.tv_sec = (time_t)(at / NSEC_PER_SEC);
		when.it_value.tv_nsec = (long)(at % NSEC_PER_SEC);
	}
	if (timerfd_settime(
		agent->deadline_timer, TFD_TIMER_ABSTIME, &when, NULL) == -1)
		log_error("timerfd_settime: %s", strerror(errno));
}

static void
save(struct agent *agent)
{
	int r;

	if (!agent->state_dirty)
		return;
	agent->state_dirty = false;
	agent->saved_event_seq = agent->state.next_event_seq;
	agent->saved_boot_ns = clock_boot_ns();
	r = state_save(agent->state_dir, &agent->state);
	if (r < 0 && !agent->state_failing)
		log_error("cannot write the state to %s: %s; it is kept in "
			  "memory and tried again with each heartbeat",
		    agent->config.state_dir, strerror(-r));
	else if (r == 0 && agent->state_failing)
		log_info("the state is written again");
	agent->state_failing = r < 0;
}

/* Soon, and once for all changes that come together. */
static void
publish_soon(struct agent *agent)
{
	static const struct timeval soon = { .tv_usec = 5000 };

	if (agent->snapshot_dirty &&
	    !event_pending(agent->publish_event, EV_TIMEOUT, NULL))
		(void)event_add(agent->publish_event, &soon);
}

/* Started is who can load: verifyd and bpfd are there. */
static void
tell_ready(struct agent *agent)
{
	if (agent->told_ready || proc_channel(agent, PROC_BPF) == NULL ||
	    proc_channel(agent, PROC_VERIFY) == NULL)
		return;
	agent->told_ready = true;
	(void)notify_ready(agent->notify, "started");
}

void
agent_act(struct agent *agent)
{
	struct action *action;

	/* Carrying out one action may lead to others: not recursively. */
	if (agent->acting)
		return;
	agent->acting = true;
	while ((action = fleet_next_action(&agent->fleet)) != NULL) {
		act(agent, action);
		free(action);
	}
	agent->acting = false;
	arm_deadline(agent);
	save(agent);
	publish_soon(agent);
	tell_ready(agent);
	if (agent->handing_over && fleet_is_settled(&agent->fleet) &&
	    events_waiting(agent->events) == 0)
		handover_finish(agent);
	if (agent->stopping && !agent->stopped &&
	    fleet_is_empty(&agent->fleet) && filters_awaited(agent) == 0 &&
	    events_waiting(agent->events) == 0)
		agent_stopped(agent);
}
