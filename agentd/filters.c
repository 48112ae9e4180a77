/* SPDX-License-Identifier: ISC */
#include "agentd/filters.h"

#include <string.h>

#include "agentd/agent.h"
#include "common/log.h"
#include "common/memfd.h"

struct filter_leaving {
	struct tc_filter filter;
	uint64_t handle; /* of the artifact that is unloaded; 0: nobody waits */
	bool asked;      /* of this bpfd; else the next one does it */
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

void
filters_detach(const struct tc_filter *filter, uint64_t handle, void *ctx)
{
	struct agent *agent = ctx;
	struct imsg_channel *ch = proc_channel(agent, PROC_BPF);
	struct filters *f = &agent->filters;
	struct msg_filter_detach msg = { .filter = *filter };
	struct filter_leaving *list;

	if (msg.filter.made_qdisc && pass_qdisc_on(agent, filter))
		msg.filter.made_qdisc = 0;
	list = reallocarray(f->leaving, f->count + 1, sizeof(*list));
	if (list == NULL)
		fatal("out of memory");
	f->leaving = list;
	list[f->count++] = (struct filter_leaving){
		.filter = msg.filter,
		.handle = handle,
		.asked = ch != NULL,
	};
	if (ch != NULL && msg_send_FILTER_DETACH(ch, handle, &msg) < 0)
		proc_kill(agent, PROC_BPF, "does not read its channel");
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
		log_error("the tc filter on interface %u, priority %u, handle "
			  "0x%x, cannot be removed: %s; the next bpfd tries "
			  "again",
		    msg->filter.ifindex, msg->filter.priority,
		    msg->filter.handle, msg->error);
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
		return;
	}
	if (msg_send_FILTERS_KEEP(ch, 0, &msg, fd) < 0)
		proc_kill(agent, PROC_BPF, "does not read its channel");
}

int
filters_handle_kept(struct imsg *m, void *ctx)
{
	const struct msg_filters_kept *kept = msg_get_FILTERS_KEPT(m);
	struct agent *agent = ctx;
	struct filters *f = &agent->filters;
	size_t i = 0;

	if (kept->restored > 0)
		log_warn("%u tc filters ran a program that a bpfd had not told "
			 "of: they run their own again",
		    kept->restored);
	while (i < f->count) {
		if (f->leaving[i].asked)
			i++;
		else
			left(agent, i);
	}
	return 0;
}

void
filters_lost(struct agent *agent)
{
	size_t i;

	for (i = 0; i < agent->filters.count; i++)
		agent->filters.leaving[i].asked = false;
}

void
filters_free(struct agent *agent)
{
	free(agent->filters.leaving);
	memset(&agent->filters, 0, sizeof(agent->filters));
}
