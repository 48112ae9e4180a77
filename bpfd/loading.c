/* SPDX-License-Identifier: ISC */
#include "bpfd/bpfd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "bpfd/attach.h"
#include "bpfd/attach_probe.h"
#include "bpfd/queue.h"
#include "bpfd/reply.h"
#include "common/ifpattern.h"
#include "common/log.h"
#include "common/msg.h"

/* The load of that handle, begun if need be; NULL: it is beyond that. */
static struct load *
get_load(struct bpfd *b, uint64_t id, const char *artifact_id)
{
	struct artifact *a;
	struct load *l;

	l = load_find(&b->loads, id);
	if (l != NULL)
		return l->started ? NULL : l;
	if (artifact_find(&b->artifacts, id) != NULL)
		return NULL;
	a = artifact_new(id, artifact_id);
	l = a == NULL ? NULL : load_new(a);
	if (l == NULL)
		return NULL;
	TAILQ_INSERT_TAIL(&b->loads, l, pending);
	return l;
}

int
handle_load_object(struct imsg *m, void *ctx)
{
	const struct msg_load_object *msg = msg_get_LOAD_OBJECT(m);
	struct load *l;
	int r;

	if (!MSG_ID_OK(msg->artifact_id))
		return -EINVAL;
	l = get_load(ctx, m->id, msg->artifact_id);
	if (l == NULL || l->elf.data != NULL)
		return -EEXIST;
	r = memfd_map(m->fd, AEGIS_EXTRACTED_MAX, &l->elf);
	if (r == 0 && l->elf.len == 0)
		r = -ENODATA;
	if (r < 0)
		(void)failure_set(&l->failure, WORK_REFUSED, r, "program.o: %s",
		    r == -EPERM         ? "not a sealed memfd"
			: r == -ENODATA ? "it is empty"
					: strerror(-r));
	return 0;
}

int
handle_load_plan(struct imsg *m, void *ctx)
{
	const struct msg_load_plan *msg = msg_get_LOAD_PLAN(m);
	const char *what;
	struct load *l;
	int r;

	if (!MSG_ID_OK(msg->artifact_id))
		return -EINVAL;
	l = get_load(ctx, m->id, msg->artifact_id);
	if (l == NULL)
		return -EEXIST;
	r = artifact_set_plan(l->artifact, m->fd, &what);
	if (r == -EALREADY)
		return r;
	if (r < 0)
		(void)failure_set(
		    &l->failure, WORK_REFUSED, r, "plan: %s", what);
	return 0;
}

int
handle_load_old_link(struct imsg *m, void *ctx)
{
	const struct msg_load_old_link *msg = msg_get_LOAD_OLD_LINK(m);
	struct bpfd *b = ctx;
	struct load *l = load_find(&b->loads, m->id);
	struct load_link *link;
	uint32_t link_id, prog_id;
	int fd;

	if (l == NULL || l->started || msg->attach >= LOADPLAN_MAX_ATTACHES ||
	    load_find_link(l, msg->attach, msg->ifindex) != NULL)
		return -EINVAL;
	link = load_add_link(l, msg->attach, msg->ifindex);
	if (link == NULL)
		return -EINVAL;
	link->old_fd = imsg_take_fd(m);
	/* Should a later swap fail, this one is undone with its old program. */
	if (attach_link_info(link->old_fd, &link_id, &prog_id) == 0 &&
	    artifact_find_prog(&b->artifacts, prog_id, &fd) != NULL)
		link->old_prog_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return 0;
}

int
handle_load_old_filter(struct imsg *m, void *ctx)
{
	const struct msg_load_old_filter *msg = msg_get_LOAD_OLD_FILTER(m);
	struct bpfd *b = ctx;
	struct load *l = load_find(&b->loads, m->id);
	struct load_link *link;
	int fd;

	if (l == NULL || l->started || msg->attach >= LOADPLAN_MAX_ATTACHES ||
	    !tc_filter_is_sound(&msg->filter) ||
	    load_find_link(l, msg->attach, msg->filter.ifindex) != NULL)
		return -EINVAL;
	link = load_add_link(l, msg->attach, msg->filter.ifindex);
	if (link == NULL)
		return -EINVAL;
	link->old_filter = msg->filter;
	if (artifact_find_prog(&b->artifacts, msg->filter.prog_id, &fd) != NULL)
		link->old_prog_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return 0;
}

int
handle_load_old_map(struct imsg *m, void *ctx)
{
	const struct msg_load_map *msg = msg_get_LOAD_OLD_MAP(m);
	struct bpfd *b = ctx;
	struct load *l = load_find(&b->loads, m->id);

	if (l == NULL || l->started || msg->index >= nitems(l->old_maps) ||
	    l->old_maps[msg->index] >= 0)
		return -EINVAL;
	l->old_maps[msg->index] = imsg_take_fd(m);
	return 0;
}

/* It has all its programs and maps, or it must be loaded. */
static bool
is_whole(const struct artifact *a)
{
	uint32_t i;

	for (i = 0; i < a->plan.header->prog_count; i++)
		if (a->plan.progs[i].autoload && a->progs[i].fd < 0)
			return false;
	for (i = 0; i < a->plan.header->map_count; i++)
		if (a->maps[i].fd < 0)
			return false;
	return true;
}

int
handle_load_kept_prog(struct imsg *m, void *ctx)
{
	const struct msg_load_prog *msg = msg_get_LOAD_KEPT_PROG(m);
	struct bpfd *b = ctx;
	struct load *l = load_find(&b->loads, m->id);

	if (l == NULL || l->started)
		return -EINVAL;
	l->kept = true;
	return artifact_set_prog(l->artifact, msg->index, imsg_take_fd(m));
}

int
handle_load_kept_map(struct imsg *m, void *ctx)
{
	const struct msg_load_map *msg = msg_get_LOAD_KEPT_MAP(m);
	struct bpfd *b = ctx;
	struct load *l = load_find(&b->loads, m->id);

	if (l == NULL || l->started)
		return -EINVAL;
	l->kept = true;
	return artifact_set_map(l->artifact, msg->index, imsg_take_fd(m));
}

int
handle_load_perf(struct imsg *m, void *ctx)
{
	const struct msg_load_perf *msg = msg_get_LOAD_PERF(m);
	struct bpfd *b = ctx;
	struct load *l = load_find(&b->loads, m->id);

	if (l == NULL || l->started)
		return -EINVAL;
	return attach_perf_add(l, msg->attach, msg->cpu, imsg_take_fd(m));
}

/* Which hooks of netfilter the one that is replaced has, too. */
static uint64_t
find_beside(struct bpfd *b, const struct load *l, uint64_t predecessor)
{
	const struct artifact *old = artifact_find(&b->artifacts, predecessor);
	const struct loadplan_attach *want, *have;
	uint64_t beside = 0;
	uint32_t i, j;

	for (i = 0; old != NULL && i < l->artifact->plan.header->attach_count;
	     i++) {
		want = &l->artifact->plan.attaches[i];
		for (j = 0; j < old->plan.header->attach_count; j++) {
			have = &old->plan.attaches[j];
			if (want->kind == ATTACH_NETFILTER &&
			    have->kind == ATTACH_NETFILTER &&
			    have->priority == want->priority &&
			    strcmp(have->target, want->target) == 0)
				beside |= UINT64_C(1) << i;
		}
	}
	return beside;
}

static bool
is_there(const struct loadplan_attach *a, const struct place *place,
    const char *target)
{
	if (place->ifindex != 0)
		return ifpattern_matches(a->target, place->interface,
		    strcmp(place->interface, "lo") == 0);
	return strcmp(a->target, target) == 0;
}

/* Name the one that has the hook, where it is one of ours. */
static void
name_holder(struct bpfd *b, struct load *l)
{
	const struct loadplan_attach *want, *have;
	struct artifact *a;
	uint32_t i;

	if (l->busy == NULL)
		return;
	want = &l->artifact->plan.attaches[l->busy->attach];
	TAILQ_FOREACH (a, &b->artifacts, entry) {
		for (i = 0; i < a->plan.header->attach_count; i++) {
			have = &a->plan.attaches[i];
			if (have->kind == want->kind &&
			    have->priority == want->priority &&
			    is_there(have, &l->busy->place, want->target)) {
				failure_add(&l->failure,
				    "it is artifact \"%s\" (%s %s)",
				    a->artifact_id, a->plan.header->name,
				    a->plan.header->artifact_version);
				l->failure.holder_id = 0;
				return;
			}
		}
	}
}

static void
warn_of_empty_maps(const struct load *l)
{
	uint32_t i;

	for (i = 0; i < nitems(l->emptied); i++)
		if (l->emptied[i] && l->failure.result == WORK_OK)
			log_line(LOG_LEVEL_WARN, l->artifact->artifact_id,
			    l->artifact->plan.maps[i].name,
			    "carry_maps: this map starts empty, the version "
			    "before declares it otherwise (type, key, value, "
			    "max_entries or flags)");
}

static void
discard_load(struct job *job)
{
	load_free((struct load *)job);
}

static void
handle_loaded(struct job *job, void *ctx)
{
	struct load *l = (struct load *)job;
	struct bpfd *b = ctx;
	int r;

	TAILQ_REMOVE(&b->loads, l, pending);
	if (l->forgotten) {
		filters_detach_forgotten(b, l);
		load_free(l);
		return;
	}
	name_holder(b, l);
	warn_of_empty_maps(l);
	r = reply_send(b->worker.agentd, l);
	if (r < 0 && r != -EPIPE) {
		log_line(LOG_LEVEL_ERROR, l->artifact->artifact_id,
		    strerror(-r), "cannot hand the result to agentd");
		worker_fail(&b->worker);
	}
	if (r == 0 && l->failure.result == WORK_OK) {
		TAILQ_INSERT_TAIL(&b->artifacts, l->artifact, entry);
		l->artifact = NULL;
	}
	load_free(l);
}

int
handle_load_start(struct imsg *m, void *ctx)
{
	const struct msg_load_start *msg = msg_get_LOAD_START(m);
	struct bpfd *b = ctx;
	struct load *l = load_find(&b->loads, m->id);
	size_t i;

	if (l == NULL || l->started || msg->attach_nothing > 1 ||
	    msg->old_links != l->link_count ||
	    msg->perf_events != l->perf_count ||
	    (msg->attach_nothing && l->link_count > 0))
		return -EINVAL;
	if (l->failure.result == WORK_OK) {
		if (l->elf.data == NULL || l->artifact->plan.header == NULL)
			return -EINVAL;
		if (l->kept && !is_whole(l->artifact))
			return -EINVAL;
		for (i = 0; i < l->link_count; i++)
			if (l->links[i].attach >=
			    l->artifact->plan.header->attach_count)
				return -EINVAL;
		if (!msg->attach_nothing && !attach_perf_is_complete(l))
			return -EINVAL;
		l->beside = find_beside(b, l, msg->predecessor);
	}
	l->attach_nothing = msg->attach_nothing != 0;
	l->started = true;
	l->job.done = handle_loaded;
	l->job.discard = discard_load;
	queue_put(b->queue, &l->job);
	return 0;
}
