/* SPDX-License-Identifier: ISC */
#include "agentd/peer_load.h"

#include <string.h>

#include "agentd/agent.h"
#include "agentd/peer_params.h"
#include "agentd/peer_probe.h"

/* The links that this artifact takes over from its predecessor. */
static int
send_old_links(struct agent *agent, struct imsg_channel *ch, struct artifact *a,
    uint32_t *count)
{
	struct artifact *p = fleet_find(&agent->fleet, a->predecessor);
	const struct custody_link *link;
	struct msg_load_old_link old = { 0 };
	struct msg_load_old_filter filter = { 0 };
	size_t i;
	int r;

	*count = 0;
	if (p == NULL || !artifact_is_loaded(p) ||
	    custody_match(a->custody, p->custody) == 0)
		return 0;
	for (i = 0; i < p->custody->link_count; i++) {
		link = &p->custody->links[i];
		if (link->offered == UINT32_MAX)
			continue;
		old.attach = filter.attach = link->offered;
		old.ifindex = link->ifindex;
		filter.filter = link->filter;
		if (link->filter.handle != 0)
			r = msg_send_LOAD_OLD_FILTER(ch, a->handle, &filter);
		else
			r = msg_send_LOAD_OLD_LINK(
			    ch, a->handle, &old, fd_copy(link->fd));
		if (r < 0)
			return r;
		(*count)++;
	}
	return 0;
}

/* The maps whose contents it goes on with: carry_maps. */
static int
send_old_maps(struct agent *agent, struct imsg_channel *ch, struct artifact *a)
{
	struct artifact *p = fleet_find(&agent->fleet, a->predecessor);
	const struct custody *c = a->custody;
	struct msg_load_map map = { 0 };
	uint32_t i;
	int fd, r = 0;

	if (p == NULL || !artifact_is_loaded(p))
		return 0;
	for (i = 0; r == 0 && i < c->loadplan.header->map_count; i++) {
		fd = custody_carried_map(c, i, p->custody);
		if (fd < 0)
			continue;
		map.index = i;
		r = msg_send_LOAD_OLD_MAP(ch, a->handle, &map, fd_copy(fd));
	}
	return r;
}

/* It was in the kernel until it was replaced, and is there still. */
static int
send_kept(struct imsg_channel *ch, const struct artifact *a)
{
	const struct custody *c = a->custody;
	struct msg_load_prog prog = { 0 };
	struct msg_load_map map = { 0 };
	uint32_t i;
	int r = 0;

	for (i = 0; r == 0 && i < c->loadplan.header->prog_count; i++) {
		if (c->progs[i] < 0)
			continue;
		prog.index = i;
		r = msg_send_LOAD_KEPT_PROG(
		    ch, a->handle, &prog, fd_copy(c->progs[i]));
	}
	for (i = 0; r == 0 && i < c->loadplan.header->map_count; i++) {
		map.index = i;
		r = msg_send_LOAD_KEPT_MAP(
		    ch, a->handle, &map, fd_copy(c->maps[i]));
	}
	return r;
}

static int
send_load(struct agent *agent, struct imsg_channel *ch, struct artifact *a,
    struct broker_events *events)
{
	struct msg_load_object object = { 0 };
	struct msg_load_plan plan = { 0 };
	struct msg_load_start start = {
		.perf_events = (uint32_t)events->count,
		.predecessor = a->predecessor,
	};
	int r;

	memcpy(object.artifact_id, a->listing.artifact_id,
	    sizeof(object.artifact_id));
	memcpy(
	    plan.artifact_id, a->listing.artifact_id, sizeof(plan.artifact_id));
	r = msg_send_LOAD_OBJECT(
	    ch, a->handle, &object, fd_copy(a->custody->object));
	if (r == 0)
		r = msg_send_LOAD_PLAN(
		    ch, a->handle, &plan, fd_copy(a->custody->plan));
	if (r == 0)
		r = send_old_links(agent, ch, a, &start.old_links);
	a->custody->offered_links = start.old_links > 0;
	a->custody->links_lost = false;
	if (r == 0 && a->restoring && !a->params_unknown &&
	    custody_is_kept(a->custody)) {
		r = send_kept(ch, a);
	} else if (r == 0) {
		/* Kept, but listed anew and verified anew: loaded anew. */
		closer_close(agent->closer, a->custody, 0);
		r = send_old_maps(agent, ch, a);
	}
	if (r == 0)
		r = peer_probe_send(ch, a, events);
	if (r == 0)
		r = msg_send_LOAD_START(ch, a->handle, &start);
	return r;
}

/* What may be there later, or is short now; the rest is for good. */
static enum work_result
kind_of(int r)
{
	switch (-r) {
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case EAGAIN:
	case EBUSY:
	case EINTR:
		return WORK_TRANSIENT;
	default:
		return WORK_REFUSED;
	}
}

void
peer_load_fail(struct agent *agent, struct artifact *a, enum work_result result,
    const char *error)
{
	probes_free(&a->custody->probes);
	fleet_load_done(&agent->fleet, a, result, error, moment_now());
}

void
peer_load_send(struct agent *agent, struct artifact *a)
{
	struct imsg_channel *ch = proc_channel(agent, PROC_BPF);
	struct broker_events events = { 0 };
	char error[2 * AEGIS_TEXT_SIZE];
	int r;

	r = peer_probe_open(a, &events, error, sizeof(error));
	if (r < 0) {
		peer_load_fail(agent, a, kind_of(r), error);
		return;
	}
	if (ch == NULL || send_load(agent, ch, a, &events) < 0)
		proc_kill(agent, PROC_BPF, "does not read its channel");
	broker_events_release(&events);
}

void
peer_load_start(struct agent *agent, struct artifact *a)
{
	char error[2 * AEGIS_TEXT_SIZE] = "out of memory";
	int r;

	if (peer_params_change(agent, a))
		return;
	r = peer_probe_ask(agent, a, error, sizeof(error));
	/* A binary that is not there may be installed yet. */
	if (r < 0)
		peer_load_fail(agent, a,
		    r == -ENOENT ? WORK_TRANSIENT : kind_of(r), error);
	else if (r == 0)
		peer_load_send(agent, a);
}
