/* SPDX-License-Identifier: ISC */
/*
 * Giving all that agentd holds to the service manager's store.
 */
#include "agentd/handover.h"

#include <event2/event.h>
#include <string.h>

#include "agentd/agent.h"
#include "agentd/events.h"
#include "agentd/handover_held.h"
#include "common/log.h"
#include "common/notify.h"

#define BARRIER_MSEC 3000

struct giving {
	struct agent *agent;
	struct handover_artifact *artifacts;
	struct handover_link *links;
	uint8_t *data;
	uint32_t artifact_count;
	uint32_t link_count;
	uint32_t data_len;
	uint32_t loaded;
};

static void
giving_free(struct giving *g)
{
	free(g->artifacts);
	free(g->links);
	free(g->data);
}

/* Room for one more artifact with LINKS links and PARAMS bytes. */
static int
make_room(struct giving *g, size_t links, size_t params)
{
	void *p;

	p = reallocarray(
	    g->artifacts, g->artifact_count + 1u, sizeof(*g->artifacts));
	if (p == NULL)
		return -ENOMEM;
	g->artifacts = p;
	p = reallocarray(
	    g->links, g->link_count + links + 1, sizeof(*g->links));
	if (p == NULL)
		return -ENOMEM;
	g->links = p;
	p = realloc(g->data, g->data_len + params + 1);
	if (p == NULL)
		return -ENOMEM;
	g->data = p;
	return 0;
}

static int
store(struct giving *g, int fd, enum held_kind kind, struct held *held)
{
	int r = held_describe(fd, kind, held);

	/* Maps poll as broken at once; and none of these ever hangs up. */
	return r < 0
	    ? r
	    : notify_store_fd(g->agent->notify, HANDOVER_HELD_NAME, fd, false);
}

static int
store_memfd(struct giving *g, int fd, uint64_t *inode)
{
	struct held held;
	int r;

	if (fd < 0)
		return 0;
	r = store(g, fd, HELD_MEMFD, &held);
	*inode = held.inode;
	return r;
}

static int
store_links(struct giving *g, const struct custody *c)
{
	struct handover_link *l;
	struct held held;
	size_t i;
	int r;

	for (i = 0; i < c->link_count; i++) {
		if (!custody_link_is_held(&c->links[i]))
			continue;
		memset(&held, 0, sizeof(held));
		r = c->links[i].fd < 0
		    ? 0
		    : store(g, c->links[i].fd, HELD_LINK, &held);
		if (r < 0)
			return r;
		l = &g->links[g->link_count++];
		memset(l, 0, sizeof(*l));
		l->artifact = g->artifact_count;
		l->attach = c->links[i].attach;
		l->link_id = held.id;
		l->ifindex = c->links[i].ifindex;
		l->filter = c->links[i].filter;
		memcpy(
		    l->interface, c->links[i].interface, sizeof(l->interface));
	}
	return 0;
}

/* Descriptors of one artifact, and what the record says of them. */
static int
store_custody(struct giving *g, const struct custody *c)
{
	struct handover_artifact *h = &g->artifacts[g->artifact_count];
	struct held held;
	uint32_t i;
	int r;

	if ((r = store_memfd(g, c->object, &h->object_inode)) < 0 ||
	    (r = store_memfd(g, c->plan, &h->plan_inode)) < 0 ||
	    (r = store_memfd(g, c->effective, &h->effective_inode)) < 0 ||
	    (r = store_links(g, c)) < 0)
		return r;
	for (i = 0; i < LOADPLAN_MAX_PROGS; i++) {
		if (c->progs[i] < 0)
			continue;
		r = store(g, c->progs[i], HELD_PROG, &held);
		if (r < 0)
			return r;
		h->prog_ids[i] = held.id;
		memcpy(h->prog_tags[i], held.tag, sizeof(held.tag));
	}
	for (i = 0; i < LOADPLAN_MAX_MAPS; i++) {
		if (c->maps[i] < 0)
			continue;
		r = store(g, c->maps[i], HELD_MAP, &held);
		if (r < 0)
			return r;
		h->map_ids[i] = held.id;
	}
	return 0;
}

static int
give_artifact(struct giving *g, const struct artifact *a)
{
	struct handover_artifact h;
	int r;

	if (a->custody == NULL || a->custody->plan < 0 ||
	    a->custody->object < 0 || !fleet_describe(a, &h))
		return 0;
	r = make_room(g, a->custody->link_count, a->listing.params_len);
	if (r < 0)
		return r;
	h.listing.params_off = g->data_len;
	g->artifacts[g->artifact_count] = h;
	r = store_custody(g, a->custody);
	if (r < 0)
		return r;
	if (a->listing.params_len > 0)
		memcpy(g->data + g->data_len, a->params, a->listing.params_len);
	g->data_len += a->listing.params_len;
	g->artifact_count++;
	g->loaded += artifact_is_loaded(a);
	return 0;
}

static int
give_record(struct giving *g)
{
	struct handover_header header = {
		.wall_ns = clock_wall_ns(),
		.next_handle = g->agent->fleet.next_handle,
		.next_load_order = g->agent->fleet.next_load_order,
	};
	_cleanup_fd_ int fd = -1;

	fd = handover_write(&header, g->artifacts, g->artifact_count, g->links,
	    g->link_count, g->data, g->data_len);
	if (fd < 0)
		return fd;
	return notify_store_fd(
	    g->agent->notify, HANDOVER_RECORD_NAME, fd, false);
}

static int
give_all(struct giving *g)
{
	const struct artifact *a;
	int r;

	TAILQ_FOREACH (a, &g->agent->fleet.artifacts, entry) {
		r = give_artifact(g, a);
		if (r < 0)
			return r;
	}
	/* Run times are counted without a gap, too. */
	if (g->agent->stats >= 0) {
		r = notify_store_fd(g->agent->notify, HANDOVER_HELD_NAME,
		    g->agent->stats, false);
		if (r < 0)
			return r;
	}
	r = give_record(g);
	return r < 0 ? r : notify_barrier(g->agent->notify, BARRIER_MSEC);
}

void
handover_begin(struct agent *agent)
{
	static const struct timeval limit = { .tv_sec = 4 };

	if (agent->stopping || agent->handing_over)
		return;
	if (agent->notify == NULL) {
		log_warn("SIGUSR1: no service manager is there to keep "
			 "programs over a restart: ignored");
		return;
	}
	agent->handing_over = true;
	(void)notify_stopping(agent->notify, "handing programs over");
	log_info("restarting: %u programs stay attached",
	    fleet_loaded_count(&agent->fleet));
	(void)event_del(agent->sample_event);
	(void)event_del(agent->heartbeat_event);
	(void)event_add(agent->stop_event, &limit);
	fleet_settle(&agent->fleet);
}

void
handover_finish(struct agent *agent)
{
	struct giving g = { .agent = agent };
	int r;

	agent->handing_over = false;
	agent->exit_status = HANDOVER_EXIT_STATUS;
	fleet_settle_late(&agent->fleet);
	r = give_all(&g);
	if (r == 0) {
		log_info(
		    "handed %u programs over to the service manager", g.loaded);
		agent->stopping = true;
		agent_stopped(agent);
	} else {
		log_error("the service manager does not take descriptors: %s; "
			  "programs are detached instead",
		    strerror(-r));
		if (notify_remove_fd(agent->notify, HANDOVER_RECORD_NAME) < 0 ||
		    notify_remove_fd(agent->notify, HANDOVER_HELD_NAME) < 0)
			log_error("nor does it let go of those it has: they go "
				  "when it gives up the service");
		agent_stop(agent);
	}
	giving_free(&g);
}
