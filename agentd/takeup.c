/* SPDX-License-Identifier: ISC */
/*
 * Going on with what the agentd before has handed over.
 */
#include <string.h>

#include "agentd/agent.h"
#include "agentd/handover.h"
#include "agentd/handover_held.h"
#include "common/listenfds.h"
#include "common/log.h"
#include "common/memfd.h"
#include "common/notify.h"

struct takeup {
	struct agent *agent;
	struct handover record;
	struct memfd_map map;
	struct custody **custodies; /* of the record's artifacts */
	unsigned int surplus;       /* descriptors that belong nowhere */
};

void
handover_collect(struct agent *agent)
{
	if (listenfds_take(&agent->stored, &agent->stored_count) < 0)
		log_warn("LISTEN_FDS: not what a service manager says: nothing "
			 "is taken up");
}

/* The newest sound record. */
static void
find_record(struct takeup *t)
{
	struct agent *agent = t->agent;
	struct memfd_map map;
	struct handover h;
	const char *what;
	size_t i;
	int r;

	for (i = 0; i < agent->stored_count; i++) {
		if (strcmp(agent->stored[i].name, HANDOVER_RECORD_NAME) != 0)
			continue;
		what = "not a sealed memfd";
		r = memfd_map(agent->stored[i].fd, HANDOVER_MAX, &map);
		if (r == 0) {
			r = handover_check(map.data, map.len, &h, &what);
			if (r < 0)
				memfd_unmap(&map);
		}
		fd_close(&agent->stored[i].fd);
		if (r < 0) {
			log_error("the record of the agent before cannot be "
				  "used: %s",
			    what);
			continue;
		}
		if (t->record.header != NULL &&
		    t->record.header->wall_ns >= h.header->wall_ns) {
			memfd_unmap(&map);
			continue;
		}
		memfd_unmap(&t->map);
		t->map = map;
		t->record = h;
	}
}

/* Takes the descriptor if its place is free. */
static void
put(int *place, int *fd)
{
	if (*place < 0)
		*place = fd_steal(fd);
}

/* One that is there twice is closed. */
static void
put_link(struct custody *c, const struct handover_link *l, int *fd)
{
	if (custody_add_link(c, l->attach, l->ifindex, l->interface,
		fd_steal(fd), l->link_id) < 0)
		log_warn("link %u is there twice: closed", l->link_id);
}

static void
place_fd(struct takeup *t, int *fd, const struct held *held)
{
	const struct handover_place p = handover_find(&t->record, held);
	struct custody *c;
	const char *what;
	int r;

	if (p.kind == PLACE_NONE)
		return;
	c = t->custodies[p.artifact];
	switch (p.kind) {
	case PLACE_LINK:
		put_link(c, &t->record.links[p.index], fd);
		break;
	case PLACE_PROG:
		put(&c->progs[p.index], fd);
		c->prog_ids[p.index] = held->id;
		memcpy(c->prog_tags[p.index], held->tag, sizeof(held->tag));
		break;
	case PLACE_MAP:
		put(&c->maps[p.index], fd);
		break;
	case PLACE_OBJECT:
		put(&c->object, fd);
		break;
	case PLACE_EFFECTIVE:
		put(&c->effective, fd);
		break;
	case PLACE_PLAN:
		r = c->plan < 0 ? custody_set_plan(c, fd_steal(fd), &what) : 0;
		if (r < 0)
			log_error("a plan of the agent before cannot be "
				  "used: %s",
			    what);
		break;
	default:
		break;
	}
}

static void
place_all(struct takeup *t)
{
	struct agent *agent = t->agent;
	struct held held;
	enum held_kind kind;
	size_t i;

	for (i = 0; i < agent->stored_count; i++) {
		if (agent->stored[i].fd < 0)
			continue; /* a record */
		kind = held_kind_of(agent->stored[i].fd);
		if (t->record.header != NULL &&
		    held_describe(agent->stored[i].fd, kind, &held) == 0)
			place_fd(t, &agent->stored[i].fd, &held);
		/* We hold run-time statistics open ourselves by now. */
		if (agent->stored[i].fd >= 0 && kind != HELD_STATS)
			t->surplus++;
		fd_close(&agent->stored[i].fd);
	}
}

/*
 * They are where they were: should one not be, that is drift.  What is not
 * taken up is what bpfd removes when it is told of the rest.
 */
static void
place_filters(struct takeup *t)
{
	const struct handover_link *l;
	uint32_t i;

	for (i = 0; i < t->record.header->link_count; i++) {
		l = &t->record.links[i];
		if (l->filter.handle != 0 &&
		    custody_add_filter(t->custodies[l->artifact], l->attach,
			l->interface, &l->filter) < 0)
			log_warn("a tc filter is there twice: left out");
	}
}

static uint32_t
count_fds(const int *fds, size_t n)
{
	uint32_t count = 0;
	size_t i;

	for (i = 0; i < n; i++)
		count += fds[i] >= 0;
	return count;
}

static uint32_t
count_ids(const uint32_t *ids, size_t n)
{
	uint32_t count = 0;
	size_t i;

	for (i = 0; i < n; i++)
		count += ids[i] != 0;
	return count;
}

static uint32_t
count_links(const struct handover *h, uint32_t artifact)
{
	uint32_t i, count = 0;

	for (i = 0; i < h->header->link_count; i++)
		count += h->links[i].artifact == artifact;
	return count;
}

/* Why an artifact's descriptors do not make a whole; NULL: they do. */
static const char *
check_whole(const struct takeup *t, uint32_t i)
{
	const struct handover_artifact *h = &t->record.artifacts[i];
	const struct custody *c = t->custodies[i];

	if (c->loadplan.header == NULL || c->object < 0)
		return "its plan or object is missing";
	if (strcmp(c->loadplan.header->name, h->listing.name) != 0 ||
	    strcmp(c->loadplan.header->artifact_version, h->listing.version) !=
		0)
		return "its plan is another artifact's";
	if (c->link_count != count_links(&t->record, i))
		return "a link is missing";
	if (h->status != STATUS_UNLOADED && !custody_is_complete(c))
		return "an attachment is missing";
	if (count_fds(c->progs, nitems(c->progs)) !=
	    count_ids(h->prog_ids, nitems(h->prog_ids)))
		return "a program is missing";
	if (count_fds(c->maps, nitems(c->maps)) !=
	    count_ids(h->map_ids, nitems(h->map_ids)))
		return "a map is missing";
	return NULL;
}

static bool
adopt(struct takeup *t, uint32_t i)
{
	const struct handover_artifact *h = &t->record.artifacts[i];
	struct custody *c = t->custodies[i];
	const char *why = check_whole(t, i);
	struct artifact *a = NULL;
	struct verified v;

	if (why == NULL) {
		v = (struct verified){
			.max_ttl_sec = c->loadplan.header->max_ttl_sec,
			.not_after_wall_ns =
			    c->loadplan.header->not_after_wall_ns,
			.replaces = "",
			.limits = c->loadplan.header->limits,
		};
		a = fleet_adopt(&t->agent->fleet, h,
		    t->record.data + h->listing.params_off, &v, moment_now(),
		    &why);
	}
	if (a == NULL) {
		log_line(LOG_LEVEL_ERROR, h->listing.artifact_id, why,
		    "cannot be taken up: what it held is detached");
		custody_free(c, t->agent->closer);
		return false;
	}
	a->custody = c;
	if (!artifact_is_loaded(a))
		return false;
	if (a->params_unknown)
		log_line(LOG_LEVEL_WARN, h->listing.artifact_id, NULL,
		    "its parameters were being changed when the agent before "
		    "ended: it is replaced when it is listed");
	log_line(LOG_LEVEL_INFO, h->listing.artifact_id, NULL,
	    "taken up from the agent before, version %s", h->listing.version);
	return true;
}

static unsigned int
adopt_all(struct takeup *t)
{
	const struct handover_header *header = t->record.header;
	unsigned int n = 0;
	uint32_t i;

	for (i = 0; i < header->artifact_count; i++)
		n += adopt(t, i);
	fleet_resume(
	    &t->agent->fleet, header->next_handle, header->next_load_order);
	return n;
}

/* Whatever its names: from here on closing a link detaches, as it must. */
static void
empty_store(struct agent *agent)
{
	const struct listenfd *list = agent->stored;
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < agent->stored_count; i++)
		if (i == 0 || strcmp(list[i].name, list[i - 1].name) != 0)
			r = notify_remove_fd(agent->notify, list[i].name);
	if (r == 0)
		r = notify_barrier(agent->notify, 3000);
	if (r < 0)
		fatal("the service manager does not give up its copies of what "
		      "keeps programs attached: %s",
		    strerror(-r));
	free(agent->stored);
	agent->stored = NULL;
	agent->stored_count = 0;
}

void
handover_take_up(struct agent *agent)
{
	struct takeup t = { .agent = agent };
	unsigned int n = 0;
	uint32_t i;

	if (agent->stored_count == 0)
		return;
	find_record(&t);
	if (t.record.header != NULL) {
		t.custodies = calloc(t.record.header->artifact_count + 1u,
		    sizeof(struct custody *));
		if (t.custodies == NULL)
			fatal("out of memory");
		for (i = 0; i < t.record.header->artifact_count; i++)
			t.custodies[i] = custody_new();
	}
	place_all(&t);
	if (t.record.header != NULL) {
		place_filters(&t);
		n = adopt_all(&t);
	}
	if (t.surplus > 0)
		log_warn("%u descriptors in the service manager's store belong "
			 "to no program that is known: closed",
		    t.surplus);
	empty_store(agent);
	log_info("%u programs go on from the agent before", n);
	free(t.custodies);
	memfd_unmap(&t.map);
}
