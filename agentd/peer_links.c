/* SPDX-License-Identifier: ISC */
#include "agentd/peer_links.h"

#include <string.h>

#include "agentd/agent.h"
#include "agentd/events.h"
#include "agentd/holder.h"
#include "agentd/linkinfo.h"
#include "common/attach.h"
#include "common/log.h"
#include "common/memfd.h"

bool
links_are_followed(const struct artifact *a)
{
	return artifact_is_loaded(a) && a->custody != NULL &&
	    a->custody->loadplan.header != NULL && a->custody->plan >= 0;
}

const char *
links_describe(const struct custody *c, const struct custody_link *link,
    char *text, size_t size)
{
	const struct loadplan_attach *a = &c->loadplan.attaches[link->attach];

	(void)snprintf(text, size, "%s on %s",
	    attach_name(a->kind, link->filter.handle != 0 || a->priority != 0),
	    link->interface[0] != '\0' ? link->interface : a->target);
	return text;
}

static void
ask(struct agent *agent, const struct artifact *a, struct custody_link *link)
{
	struct imsg_channel *ch = proc_channel(agent, PROC_BPF);
	struct msg_link_attach msg = {
		.attach = link->attach,
		.ifindex = link->ifindex,
	};

	link->state = LINK_WANTED;
	if (ch == NULL)
		return; /* links_resume() */
	memcpy(msg.interface, link->interface, sizeof(msg.interface));
	link->state = LINK_ASKED;
	agent->links_asked++;
	if (msg_send_LINK_ATTACH(ch, a->handle, &msg) < 0)
		proc_kill(agent, PROC_BPF, "does not read its channel");
}

/* ---- interfaces that come and go ---- */

/* They may as often as bpfd says so: as many lines as it has itself. */
static bool
may_log(struct agent *agent)
{
	return worker_log_admit(&agent->workers[PROC_BPF].log, clock_boot_ns());
}

static void
let_go(struct agent *agent, const struct artifact *a, size_t i)
{
	struct custody_link *link = &a->custody->links[i];
	char text[LINKS_PLACE_SIZE];

	if (may_log(agent))
		log_line(LOG_LEVEL_INFO, a->listing.artifact_id, NULL,
		    "%s: the interface is gone or has another name",
		    links_describe(a->custody, link, text, sizeof(text)));
	custody_drop_link(a->custody, link, agent->closer);
	agent->snapshot_dirty = true;
}

static void
add_missing(struct agent *agent, const struct artifact *a)
{
	struct custody *c = a->custody;
	const struct iface *i;
	uint32_t attach = 0;
	size_t at = 0;

	while (
	    (i = follow_missing(&agent->interfaces, c, &attach, &at)) != NULL) {
		if (custody_add_link(c, attach, i->ifindex, i->name, -1, 0) <
		    0) {
			if (may_log(agent))
				log_line(LOG_LEVEL_ERROR,
				    a->listing.artifact_id, NULL,
				    "more than %d interfaces match: \"%s\" "
				    "is left out",
				    CUSTODY_MAX_LINKS, i->name);
			return;
		}
		ask(agent, a, &c->links[c->link_count - 1]);
	}
}

void
links_settle(struct agent *agent, struct artifact *a)
{
	struct custody_link *link;
	size_t i = 0;

	if (!links_are_followed(a) || agent->interfaces.generation == 0)
		return;
	while (i < a->custody->link_count) {
		link = &a->custody->links[i];
		/* While a successor takes it over, it is not ours to close. */
		if (link->offered == UINT32_MAX &&
		    follow_judge(&agent->interfaces, a->custody, link) ==
			FOLLOW_ENDS)
			let_go(agent, a, i);
		else
			i++;
	}
	add_missing(agent, a);
}

int
links_handle_interfaces(struct imsg *m, void *ctx)
{
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	struct agent *agent = ctx;
	struct follow *f = &agent->interfaces;
	struct artifact *a;
	int n, r;

	r = memfd_map(m->fd, IFACES_MAX * sizeof(struct iface), &map);
	if (r < 0)
		return r;
	n = ifaces_check(map.data, map.len);
	if (n < 0 || (uint32_t)n != msg_get_INTERFACES(m)->count)
		return -EINVAL;
	free(f->list);
	f->list = calloc((size_t)n + 1, sizeof(*f->list));
	if (f->list == NULL)
		fatal("out of memory");
	if (n > 0)
		memcpy(f->list, map.data, map.len);
	f->count = (size_t)n;
	f->generation++;
	TAILQ_FOREACH (a, &agent->fleet.artifacts, entry)
		links_settle(agent, a);
	return 0;
}

/* ---- answers ---- */

static void
report(struct agent *agent, struct artifact *a, const char *reason,
    const char *text)
{
	events_problem(agent, a, reason, text);
	agent->snapshot_dirty = true;
}

static void
attached(struct agent *agent, struct artifact *a, struct custody_link *link,
    const struct msg_link_attached *msg, int fd)
{
	char what[LINKS_PLACE_SIZE], text[AEGIS_TEXT_SIZE * 4];

	link->fd = fd;
	link->link_id = msg->link_id;
	link->filter = msg->filter;
	link->state = LINK_HELD;
	link->reported = false;
	link->generation = agent->interfaces.generation;
	agent->snapshot_dirty = true;
	(void)links_describe(a->custody, link, what, sizeof(what));
	if (link->drift == NULL) {
		log_line(LOG_LEVEL_INFO, a->listing.artifact_id, NULL,
		    "%s: attached", what);
		return;
	}
	agent->observed.drift_found++;
	agent->observed.drift_repaired++;
	(void)snprintf(text, sizeof(text), "drift: %s %s: attached again", what,
	    link->drift);
	link->drift = NULL;
	report(agent, a, "drift", text);
}

static void
not_attached(struct agent *agent, struct artifact *a, struct custody_link *link,
    const struct msg_link_attached *msg)
{
	char what[LINKS_PLACE_SIZE], text[AEGIS_TEXT_SIZE * 8];
	const char *drift = link->drift;

	if (msg->gone && link->ifindex != 0) {
		/* The list of interfaces will say so, too. */
		custody_drop_link(a->custody, link, agent->closer);
		return;
	}
	(void)links_describe(a->custody, link, what, sizeof(what));
	/* Tried again with every sample: it may come back, or come free. */
	link->state = msg->result == WORK_TRANSIENT ? LINK_WANTED : LINK_LEFT;
	if (msg->gone) {
		link->drifts = 0;
		link->drift = NULL;
		if (!link->reported)
			log_line(LOG_LEVEL_WARN, a->listing.artifact_id,
			    msg->error, "%s: it has gone", what);
		link->reported = true;
		return;
	}
	if (drift != NULL && !link->reported)
		agent->observed.drift_found++;
	(void)snprintf(text, sizeof(text), "%s%s%s%s: %s",
	    drift != NULL ? "drift: " : "", what, drift != NULL ? " " : "",
	    drift != NULL ? drift : "", msg->error);
	holder_add(agent, msg->holder_id, text, sizeof(text));
	if (!link->reported)
		report(agent, a, drift != NULL ? "drift" : "attach", text);
	link->reported = true;
}

int
links_handle_attached(struct imsg *m, void *ctx)
{
	const struct msg_link_attached *msg = msg_get_LINK_ATTACHED(m);
	struct agent *agent = ctx;
	struct artifact *a = fleet_find(&agent->fleet, m->id);
	struct custody_link *link = NULL;

	if (msg->result >= WORK_RESULT_MAX ||
	    (msg->result == WORK_OK) !=
		((m->fd >= 0) != (msg->filter.handle != 0)) ||
	    (msg->filter.handle != 0 && !tc_filter_is_sound(&msg->filter)) ||
	    !str_is_terminated(msg->error, sizeof(msg->error)))
		return -EINVAL;
	/* One answer a question: each may be long to close, or to undo. */
	if (agent->links_asked == 0)
		return -EPROTO;
	agent->links_asked--;
	if (a != NULL && links_are_followed(a))
		link = custody_find_link(a->custody, msg->attach, msg->ifindex);
	if (link == NULL || link->state != LINK_ASKED) {
		/* Not wanted any more; closing may take long. */
		closer_close_unwanted(agent->closer, imsg_take_fd(m));
		if (msg->filter.handle == 0)
			return 0;
		if (agent->filters.count >= TC_FILTERS_MAX)
			return -E2BIG;
		filters_detach(&msg->filter, 0, agent);
		return 0;
	}
	if (msg->result == WORK_OK)
		attached(agent, a, link, msg, imsg_take_fd(m));
	else
		not_attached(agent, a, link, msg);
	return 0;
}

void
links_resume(struct agent *agent)
{
	struct artifact *a;
	size_t i;

	TAILQ_FOREACH (a, &agent->fleet.artifacts, entry) {
		if (!links_are_followed(a))
			continue;
		for (i = 0; i < a->custody->link_count; i++)
			if (a->custody->links[i].state == LINK_ASKED ||
			    a->custody->links[i].state == LINK_WANTED)
				ask(agent, a, &a->custody->links[i]);
	}
}

/* ---- drift ---- */

static void
leave(struct agent *agent, struct artifact *a, struct custody_link *link,
    const char *what)
{
	char name[LINKS_PLACE_SIZE], text[AEGIS_TEXT_SIZE * 4];

	link->state = LINK_LEFT;
	agent->observed.drift_found++;
	(void)snprintf(text, sizeof(text),
	    "drift: %s %s again: left as it is, until the artifact is loaded "
	    "anew",
	    links_describe(a->custody, link, name, sizeof(name)), what);
	fleet_set_error(a, text);
	a->error_reported = true;
	report(agent, a, "drift", text);
}

/*
 * What the kernel says of a link, and of the program that we hold.  Id and
 * tag of a program are its own for as long as somebody holds it: asked for
 * once, and from then on the id that the link shows stands for both.
 */
static int
look_at(
    struct custody *c, const struct custody_link *link, struct link_seen *seen)
{
	uint32_t prog = c->loadplan.attaches[link->attach].prog;
	int r;

	if (c->prog_confirmed[prog]) {
		r = linkinfo_read(link->fd, -1, seen);
		seen->held_id = c->prog_ids[prog];
		memcpy(seen->tag, c->prog_tags[prog], sizeof(seen->tag));
		return r;
	}
	r = linkinfo_read(link->fd, c->progs[prog], seen);
	c->prog_confirmed[prog] = r == 0 &&
	    seen->held_id == c->prog_ids[prog] &&
	    memcmp(seen->tag, c->prog_tags[prog], sizeof(seen->tag)) == 0;
	return r;
}

/*
 * Attach it anew.  A link of ours in which another's program runs is in the
 * way of that until it is closed, which takes a while: XDP has room for one.
 */
static void
repair(struct agent *agent, const struct artifact *a, struct custody_link *link,
    bool attached)
{
	if (attached && link->fd >= 0) {
		link->state = LINK_CLOSING;
		closer_close_link_first(
		    agent->closer, link, LINKS_COOKIE | a->handle);
		return;
	}
	closer_close_link(agent->closer, link);
	ask(agent, a, link);
}

void
links_closed(struct agent *agent, uint64_t cookie)
{
	struct artifact *a = fleet_find(&agent->fleet, cookie & ~LINKS_COOKIE);
	size_t i;

	if (a == NULL || !links_are_followed(a))
		return;
	/* They are closed in the order in which they stand here. */
	for (i = 0; i < a->custody->link_count; i++) {
		if (a->custody->links[i].state != LINK_CLOSING)
			continue;
		ask(agent, a, &a->custody->links[i]);
		return;
	}
}

/* What follows from what was SEEN of it.  False: the link is no more. */
static bool
judge(struct agent *agent, struct artifact *a, struct custody_link *link,
    const struct link_seen *seen)
{
	struct custody *c = a->custody;
	const char *what;

	switch (follow_drift(&agent->interfaces, c, link, seen, &what)) {
	case DRIFT_NONE:
		return true;
	case DRIFT_GONE:
		custody_drop_link(c, link, agent->closer);
		agent->snapshot_dirty = true;
		return false;
	case DRIFT_REPAIR:
		link->drift = what;
		repair(agent, a, link, seen->attached);
		return true;
	case DRIFT_LEAVE:
		/* In a link of ours another's program may run: let it. */
		if (!seen->attached)
			closer_close_link(agent->closer, link);
		leave(agent, a, link, what);
		return true;
	}
	return true;
}

/* Only bpfd can see filters: links_handle_checked(). */
static void
ask_for_filter(struct agent *agent, const struct artifact *a,
    const struct custody_link *link)
{
	struct imsg_channel *ch = proc_channel(agent, PROC_BPF);
	const struct msg_filter_check msg = {
		.attach = link->attach,
		.filter = link->filter,
	};

	if (ch != NULL && msg_send_FILTER_CHECK(ch, a->handle, &msg) < 0)
		proc_kill(agent, PROC_BPF, "does not read its channel");
}

/* False: the link is no more. */
static bool
check_link(struct agent *agent, struct artifact *a, struct custody_link *link)
{
	struct custody *c = a->custody;
	enum attach_method method =
	    attach_row(c->loadplan.attaches[link->attach].kind)->method;
	struct link_seen seen;

	/* Others are not detached but by closing them. */
	if (method != METHOD_LINK_IFINDEX && method != METHOD_LINK_CGROUP &&
	    method != METHOD_LINK_NETNS)
		return true;
	if (link->filter.handle != 0) {
		ask_for_filter(agent, a, link);
		return true;
	}
	if (look_at(c, link, &seen) < 0)
		return true;
	return judge(agent, a, link, &seen);
}

int
links_handle_checked(struct imsg *m, void *ctx)
{
	const struct msg_filter_checked *msg = msg_get_FILTER_CHECKED(m);
	struct agent *agent = ctx;
	struct artifact *a = fleet_find(&agent->fleet, m->id);
	struct link_seen seen = { 0 };
	struct custody_link *link = NULL;
	uint32_t prog;

	if (a != NULL && links_are_followed(a))
		link = custody_find_link(
		    a->custody, msg->attach, msg->filter.ifindex);
	/* It has changed since. */
	if (link == NULL || link->state != LINK_HELD ||
	    link->offered != UINT32_MAX ||
	    !tc_filter_same_place(&link->filter, &msg->filter))
		return 0;
	prog = a->custody->loadplan.attaches[link->attach].prog;
	seen.attached = msg->seen_prog_id != 0;
	seen.prog_id = msg->seen_prog_id;
	/* That we hold it is known: no link could run another one. */
	seen.held_id = a->custody->prog_ids[prog];
	memcpy(seen.tag, a->custody->prog_tags[prog], sizeof(seen.tag));
	(void)judge(agent, a, link, &seen);
	return 0;
}

void
links_check(struct agent *agent)
{
	struct custody_link *link;
	struct artifact *a;
	size_t i;

	/* Without bpfd nothing can be attached again: let it be as it is. */
	if (proc_channel(agent, PROC_BPF) == NULL)
		return;
	TAILQ_FOREACH (a, &agent->fleet.artifacts, entry) {
		if (!links_are_followed(a))
			continue;
		for (i = 0; i < a->custody->link_count;) {
			link = &a->custody->links[i];
			if (link->state == LINK_WANTED)
				ask(agent, a, link);
			else if (link->state == LINK_HELD &&
			    custody_link_is_held(link) &&
			    link->offered == UINT32_MAX &&
			    !check_link(agent, a, link))
				continue;
			i++;
		}
	}
}
