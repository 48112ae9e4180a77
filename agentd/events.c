/* SPDX-License-Identifier: ISC */
#include "agentd/events.h"

#include <string.h>

#include "agentd/agent.h"
#include "agentd/feed.h"
#include "agentd/health.h"
#include "common/log.h"
#include "common/memfd.h"
#include "common/uuid.h"

/* Events that wait for a telemd that does not come back: about 14 MB. */
#define EVENTS_MAX 2048

/* No more than this in the channel at once, well below its high water. */
#define BACKLOG_MAX (IMSG_HIGH_WATER / 2)

struct queued {
	TAILQ_ENTRY(queued) entry;
	uint64_t number;
	struct msg_event event;
	int verifier_log;
};

struct event_queue {
	TAILQ_HEAD(, queued) list;
	size_t count;
	uint64_t last_number;
	uint64_t sent_number; /* of the kept ones, the last given to telemd */
	uint64_t dropped[EVENT_TYPE_MAX];
};

struct event_queue *
events_new(void)
{
	struct event_queue *q = calloc(1, sizeof(*q));

	if (q == NULL)
		fatal("out of memory");
	TAILQ_INIT(&q->list);
	return q;
}

static void
remove_first(struct event_queue *q)
{
	struct queued *e = TAILQ_FIRST(&q->list);

	TAILQ_REMOVE(&q->list, e, entry);
	q->count--;
	fd_close(&e->verifier_log);
	free(e);
}

void
events_free(struct event_queue *q)
{
	if (q == NULL)
		return;
	while (!TAILQ_EMPTY(&q->list))
		remove_first(q);
	free(q);
}

static bool
is_kept(uint32_t type)
{
	return type != EVENT_PROGRAM_TELEMETRY && type != EVENT_AGENT_HEARTBEAT;
}

static void
keep(struct event_queue *q, const struct msg_event *event, int verifier_log)
{
	struct queued *e = calloc(1, sizeof(*e));

	if (e == NULL)
		fatal("out of memory");
	e->number = q->last_number;
	e->event = *event;
	e->verifier_log = fd_copy(verifier_log);
	TAILQ_INSERT_TAIL(&q->list, e, entry);
	if (++q->count <= EVENTS_MAX)
		return;
	e = TAILQ_FIRST(&q->list);
	if (q->dropped[e->event.type]++ == 0)
		log_error("telemd has not accepted %u events: the oldest are "
			  "dropped and counted",
		    EVENTS_MAX);
	remove_first(q);
}

/* The oldest kept event that this telemd was not given yet, or NULL. */
static struct queued *
first_unsent(const struct event_queue *q)
{
	struct queued *e;

	TAILQ_FOREACH (e, &q->list, entry)
		if (e->number > q->sent_number)
			return e;
	return NULL;
}

void
events_pump(struct agent *agent)
{
	struct event_queue *q = agent->events;
	struct imsg_channel *ch = proc_channel(agent, PROC_TELEM);
	struct queued *e = ch != NULL ? first_unsent(q) : NULL;

	/* What it does not take now it gets when it has accepted some. */
	for (; e != NULL && imsg_backlog(ch) < BACKLOG_MAX;
	     e = TAILQ_NEXT(e, entry)) {
		if (msg_send_EVENT(
			ch, e->number, &e->event, fd_copy(e->verifier_log)) < 0)
			return; /* it is gone: the next one gets them */
		q->sent_number = e->number;
	}
}

static void
send_event(struct agent *agent, const struct msg_event *event, int verifier_log)
{
	struct event_queue *q = agent->events;
	struct imsg_channel *ch = proc_channel(agent, PROC_TELEM);

	q->last_number++;
	feed_add(agent->feed, q->last_number, event, verifier_log,
	    is_kept(event->type));
	if (is_kept(event->type)) {
		keep(q, event, verifier_log);
		events_pump(agent);
		return;
	}
	/*
	 * Acceptance is cumulative: a sample must not overtake an event that
	 * was not given yet.
	 */
	if (first_unsent(q) != NULL || ch == NULL ||
	    imsg_backlog(ch) >= BACKLOG_MAX ||
	    msg_send_EVENT(ch, q->last_number, event, -1) < 0)
		q->dropped[event->type]++;
}

static void
describe_artifact(struct msg_event *event, const struct artifact *a)
{
	event->status = (uint32_t)a->status;
	event->unload_reason = (uint32_t)a->unload_reason;
	event->telemetry = a->telemetry;
	memcpy(event->artifact_id, a->listing.artifact_id,
	    sizeof(event->artifact_id));
	memcpy(event->name, a->listing.name, sizeof(event->name));
	memcpy(event->version, a->listing.version, sizeof(event->version));
	event->rollback_reason = (uint32_t)a->cause.reason;
	event->threshold = (uint32_t)a->cause.threshold;
	event->value = a->cause.value;
	event->limit = a->cause.limit;
	memcpy(event->reason, a->cause.text, sizeof(event->reason));
	if (a->error != NULL)
		str_copy_cut(event->error, sizeof(event->error), a->error);
}

/* A signal or an operator has no threshold that was crossed. */
static void
log_rolled_back(const struct msg_event *event, const char *id)
{
	const char *reason =
	    rollback_reason_name((enum rollback_reason)event->rollback_reason);

	if (event->threshold == THRESHOLD_NONE)
		log_line(LOG_LEVEL_WARN, id, NULL,
		    "BPF program rolled back: %s %s (%s%s%s)", event->name,
		    event->version, reason,
		    event->reason[0] != '\0' ? ": " : "", event->reason);
	else
		log_line(LOG_LEVEL_WARN, id, NULL,
		    "BPF program rolled back: %s %s (%s: %s, %g > %g)",
		    event->name, event->version, reason,
		    threshold_name((enum threshold)event->threshold),
		    event->value, event->limit);
}

/* With the last of what the verifier said, where it was the one to refuse. */
static void
log_program_error(const struct msg_event *event, int verifier_log)
{
	_cleanup_memfd_map_ struct memfd_map map = { 0 };

	if (verifier_log >= 0 &&
	    memfd_map(verifier_log, AEGIS_VERIFIER_LOG, &map) < 0)
		map.data = NULL;
	log_line_with(LOG_LEVEL_ERROR, event->artifact_id, event->error,
	    "verifier_msg", map.data, map.len,
	    event->status == STATUS_UNLOADING
		? "artifact %s %s cannot be unloaded: it is tried again with "
		  "each sample"
		: "artifact %s %s is not running",
	    event->name, event->version);
}

/* The same fact, for the log. */
static void
log_event(const struct msg_event *event, int verifier_log)
{
	const char *id = event->artifact_id;

	switch ((enum event_type)event->type) {
	case EVENT_PROGRAM_LOADED:
		log_line(LOG_LEVEL_INFO, id, NULL,
		    event->reason[0] != '\0'
			? "BPF program has new parameters: %s %s"
			: "BPF program loaded: %s %s",
		    event->name, event->version);
		break;
	case EVENT_PROGRAM_UNLOADED:
		log_line(LOG_LEVEL_INFO, id, NULL,
		    "BPF program unloaded: %s %s (%s)", event->name,
		    event->version,
		    unload_reason_name(
			(enum unload_reason)event->unload_reason));
		break;
	case EVENT_PROGRAM_ERROR:
		log_program_error(event, verifier_log);
		break;
	case EVENT_PROGRAM_ROLLED_BACK:
		log_rolled_back(event, id);
		break;
	default:
		break;
	}
}

void
events_add(struct agent *agent, const struct action *act)
{
	struct artifact *a = fleet_find(&agent->fleet, act->handle);
	struct msg_event event = { .type = (uint32_t)act->event };
	int verifier_log = -1;

	if (a == NULL)
		return;
	event.wall_ns = clock_wall_ns();
	uuid_make_v7(event.wall_ns, event.event_id);
	describe_artifact(&event, a);
	event.rollback_status = (uint32_t)act->rollback_status;
	/* Why it was rolled back once is no reason for its being loaded. */
	if (act->reason != NULL || act->event == EVENT_PROGRAM_LOADED)
		str_copy_cut(event.reason, sizeof(event.reason),
		    act->reason != NULL ? act->reason : "");
	if (act->event == EVENT_PROGRAM_ERROR && a->custody != NULL)
		verifier_log = a->custody->verifier_log;
	log_event(&event, verifier_log);
	send_event(agent, &event, verifier_log);
}

void
events_rollback(struct agent *agent, const struct snapshot_rollback *r)
{
	struct msg_event event = {
		.type = EVENT_ROLLBACK_STATUS,
		.status = STATUS_ROLLED_BACK,
		.unload_reason = UNLOAD_ROLLED_BACK,
		.rollback_status = r->status,
		.rollback_reason = r->reason,
		.threshold = r->threshold,
		.value = r->value,
		.limit = r->limit,
		.wall_ns = clock_wall_ns(),
	};

	uuid_make_v7(event.wall_ns, event.event_id);
	memcpy(event.artifact_id, r->artifact_id, sizeof(r->artifact_id));
	memcpy(event.name, r->name, sizeof(r->name));
	memcpy(event.version, r->version, sizeof(r->version));
	memcpy(event.reason, r->text, sizeof(r->text));
	str_copy_cut(event.error, sizeof(event.error), r->error);
	send_event(agent, &event, -1);
	/* For those who count what was rolled back. */
	event.type = EVENT_PROGRAM_ROLLED_BACK;
	uuid_make_v7(event.wall_ns, event.event_id);
	log_event(&event, -1);
	send_event(agent, &event, -1);
}

void
events_problem(struct agent *agent, const struct artifact *a,
    const char *reason, const char *text)
{
	struct msg_event event = { .type = EVENT_PROGRAM_ERROR };

	event.wall_ns = clock_wall_ns();
	uuid_make_v7(event.wall_ns, event.event_id);
	describe_artifact(&event, a);
	str_copy_cut(event.reason, sizeof(event.reason), reason);
	str_copy_cut(event.error, sizeof(event.error), text);
	log_line(LOG_LEVEL_WARN, event.artifact_id, text,
	    "BPF program %s %s is not attached as it should be", event.name,
	    event.version);
	send_event(agent, &event, -1);
}

void
events_heartbeat(struct agent *agent)
{
	struct snapshot_reason reasons[HEALTH_REASONS_MAX];
	struct msg_event event = { .type = EVENT_AGENT_HEARTBEAT };
	struct moment now = moment_now();
	size_t i, n;

	event.wall_ns = now.wall_ns;
	uuid_make_v7(event.wall_ns, event.event_id);
	event.uptime_sec =
	    (now.boot_ns - agent->started.boot_ns) / NSEC_PER_SEC;
	event.loaded_programs = fleet_loaded_count(&agent->fleet);
	n = health_find(agent, now, reasons, nitems(reasons));
	event.health = health_of(reasons, n);
	for (i = 0; i < PROC_MAX; i++)
		event.worker_restarts[i] = agent->workers[i].restarts;
	send_event(agent, &event, -1);
}

void
events_resend(struct agent *agent)
{
	agent->events->sent_number = 0;
	events_pump(agent);
}

int
events_accepted(struct event_queue *q, uint64_t number)
{
	if (number > q->last_number)
		return -EINVAL;
	while (
	    !TAILQ_EMPTY(&q->list) && TAILQ_FIRST(&q->list)->number <= number)
		remove_first(q);
	return 0;
}

size_t
events_waiting(const struct event_queue *q)
{
	return q->count;
}

uint64_t
events_dropped(const struct event_queue *q, enum event_type type)
{
	return q->dropped[type];
}
