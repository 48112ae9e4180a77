/* SPDX-License-Identifier: ISC */
#include "agentd/filters.h"

#include <stdio.h>
#include <string.h>

#include "agentd/agent.h"
#include "agentd/events.h"
#include "common/log.h"
#include "common/memfd.h"

struct filter_leaving {
	struct tc_filter filter;
	uint64_t handle; /* of the artifact that is unloaded; 0: nobody waits */
	bool asked;      /* of this bpfd, which has not answered yet */
	bool refused;    /* by the kernel, the last time it answered */
	bool closed;     /* the artifact waits for nothing but filters */
};

/*
 * The qdisc goes with the last filter of ours that is on its interface: who
 * was there when it was made leaves that to one that stays.
 */
static bool
pass_qdisc_on(struct agent *agent, const struct tc_filter *leaving)
{
	struct custody_link *link;
	struct artifact *a;
	size_t i;

	TAILQ_FOREACH (a, &agent->fleet.artifacts, entry) {
		for (i = 0; a->custody != NULL && i < a->custody->link_count;
		     i++) {
			link = &a->custody->links[i];
			if (link->filter.handle == 0 ||
			    link->filter.ifindex != leaving->ifindex)
				continue;
			link->filter.made_qdisc = 1;
			return true;
		}
	}
	return false;
}

/*
 * A new bpfd is asked when it has seen to what filters there are: what it is
 * to put right must not be mistaken for somebody else's before.
 */
static void
ask(struct agent *agent, struct filter_leaving *one)
{
	struct imsg_channel *ch = proc_channel(agent, PROC_BPF);
	const struct msg_filter_detach msg = { .filter = one->filter };

	if (ch == NULL || !agent->filters.swept || one->asked)
		return;
	one->asked = true;
	if (msg_send_FILTER_DETACH(ch, one->handle, &msg) < 0)
		proc_kill(agent, PROC_BPF, "does not read its channel");
}

void
filters_detach(const struct tc_filter *filter, uint64_t handle, void *ctx)
{
	struct agent *agent = ctx;
	struct filters *f = &agent->filters;
	struct filter_leaving *list = f->leaving;

	if (f->count == f->room) {
		f->room = f->room > 0 ? 2 * f->room : 16;
		list = reallocarray(list, f->room, sizeof(*list));
		if (list == NULL)
			fatal("out of memory");
		f->leaving = list;
	}
	list[f->count] = (struct filter_leaving){
		.filter = *filter,
		.handle = handle,
	};
	if (filter->made_qdisc && pass_qdisc_on(agent, filter))
		list[f->count].filter.made_qdisc = 0;
	ask(agent, &list[f->count++]);
}

void
filters_retry(struct agent *agent)
{
	struct filters *f = &agent->filters;
	size_t i;

	for (i = 0; i < f->count; i++)
		ask(agent, &f->leaving[i]);
}

size_t
filters_awaited(const struct agent *agent)
{
	const struct filters *f = &agent->filters;
	size_t i, n = 0;

	for (i = 0; i < f->count; i++)
		n += !f->leaving[i].refused;
	return n;
}

bool
filters_wait(struct agent *agent, uint64_t handle)
{
	struct filters *f = &agent->filters;
	bool wait = false;
	size_t i;

	for (i = 0; i < f->count; i++)
		if (f->leaving[i].handle == handle)
			wait = f->leaving[i].closed = true;
	return wait;
}

/* It is gone; and with the last one, its artifact. */
static void
left(struct agent *agent, size_t at)
{
	struct filters *f = &agent->filters;
	const struct filter_leaving one = f->leaving[at];

	f->leaving[at] = f->leaving[--f->count];
	if (!one.closed || filters_wait(agent, one.handle))
		return;
	agent_unloaded(agent, one.handle);
}

/* It is there still: so its artifact is not unloaded. */
static void
stays(struct agent *agent, struct filter_leaving *one, const char *error)
{
	struct artifact *a = fleet_find(&agent->fleet, one->handle);
	const struct tc_filter *filter = &one->filter;
	char text[2 * AEGIS_TEXT_SIZE];
	bool again = one->refused;

	one->asked = false;
	one->refused = true;
	(void)snprintf(text, sizeof(text),
	    "the tc filter on interface %u, priority %u, handle 0x%x, cannot "
	    "be removed: %s",
	    filter->ifindex, filter->priority, filter->handle, error);
	if (a != NULL)
		fleet_unload_refused(&agent->fleet, a, text, moment_now());
	else if (!again)
		log_error("%s; it is tried again with each sample", text);
}

int
filters_handle_detached(struct imsg *m, void *ctx)
{
	const struct msg_filter_detached *msg = msg_get_FILTER_DETACHED(m);
	struct agent *agent = ctx;
	struct filters *f = &agent->filters;
	size_t i;

	if (msg->result >= WORK_RESULT_MAX || !MSG_TEXT_OK(msg->error))
		return -EINVAL;
	for (i = 0; i < f->count; i++)
		if (f->leaving[i].asked && f->leaving[i].handle == m->id &&
		    memcmp(&f->leaving[i].filter, &msg->filter,
			sizeof(msg->filter)) == 0)
			break;
	if (i == f->count)
		return -EINVAL; /* nobody asked */
	if (msg->result != WORK_OK)
		stays(agent, &f->leaving[i], msg->error);
	else
		left(agent, i);
	return 0;
}

/* ---- a new bpfd ---- */

/* Which program it should run; bpfd sees to it that it does. */
static const struct tc_filter *
expected(const struct custody *c, struct custody_link *link)
{
	if (c->loadplan.header != NULL)
		link->filter.prog_id =
		    c->prog_ids[c->loadplan.attaches[link->attach].prog];
	return &link->filter;
}

static int
collect(struct agent *agent, struct tc_filter **out, uint32_t *count)
{
	struct tc_filter *list;
	struct custody *c;
	struct artifact *a;
	size_t i;

	*out = NULL;
	*count = 0;
	TAILQ_FOREACH (a, &agent->fleet.artifacts, entry) {
		c = a->custody;
		for (i = 0; c != NULL && i < c->link_count; i++) {
			if (c->links[i].filter.handle == 0)
				continue;
			if (*count == TC_FILTERS_MAX)
				return -E2BIG;
			list = reallocarray(*out, *count + 1u, sizeof(*list));
			if (list == NULL)
				fatal("out of memory");
			*out = list;
			list[(*count)++] = *expected(c, &c->links[i]);
		}
	}
	return 0;
}

void
filters_tell(struct agent *agent)
{
	struct imsg_channel *ch = proc_channel(agent, PROC_BPF);
	_cleanup_free_ struct tc_filter *list = NULL;
	struct msg_filters_keep msg = { 0 };
	int fd, r;

	r = collect(agent, &list, &msg.count);
	if (r == 0)
		r = fd = memfd_from_bytes(
		    "filters", list, msg.count * sizeof(*list));
	if (r < 0) {
		/* Better too many filters than one of ours too few. */
		log_error("bpfd cannot be told of the tc filters that there "
			  "should be: %s; what may be left of an agent before "
			  "stays",
		    strerror(-r));
		agent->filters.swept = true; /* as far as it will be */
		filters_retry(agent);
		return;
	}
	if (msg_send_FILTERS_KEEP(ch, 0, &msg, fd) < 0)
		proc_kill(agent, PROC_BPF, "does not read its channel");
}

int
filters_handle_kept(struct imsg *m, void *ctx)
{
	const struct msg_filters_kept *kept = msg_get_FILTERS_KEPT(m);
	const struct snapshot_rollback *r;
	struct agent *agent = ctx;

	/* Asked once of each bpfd: filters_tell(). */
	if (kept->incomplete > 1 || agent->filters.swept)
		return -EINVAL;
	if (kept->restored > 0)
		log_warn("%u tc filters ran a program that a bpfd had not told "
			 "of: they run their own again",
		    kept->restored);
	while (!kept->incomplete &&
	    (r = fleet_finish_rollback(&agent->fleet)) != NULL)
		events_rollback(agent, r);
	/* That they are gone it says of each. */
	agent->filters.swept = true;
	filters_retry(agent);
	return 0;
}

void
filters_lost(struct agent *agent)
{
	size_t i;

	agent->filters.swept = false;
	for (i = 0; i < agent->filters.count; i++)
		agent->filters.leaving[i].asked = false;
}

void
filters_free(struct agent *agent)
{
	if (agent->filters.count > 0)
		log_error("%zu tc filters stay in the kernel: the next agentd "
			  "removes them",
		    agent->filters.count);
	free(agent->filters.leaving);
	memset(&agent->filters, 0, sizeof(agent->filters));
}
