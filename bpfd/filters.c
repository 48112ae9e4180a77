/* SPDX-License-Identifier: ISC */
/*
 * The tc filters that agentd has in custody: detaching and checking them, and
 * what another bpfd or agentd has left behind.
 */
#include "bpfd/bpfd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "bpfd/clsact.h"
#include "bpfd/queue.h"
#include "common/log.h"
#include "common/memfd.h"
#include "common/msg.h"

struct filter_job {
	struct job job;
	uint64_t id; /* the artifact's */
	uint32_t attach;
	bool told; /* agentd waits for the answer */
	struct tc_filter filter;
	/* results */
	uint32_t seen_prog_id;
	int error;
};

static void
discard(struct job *job)
{
	free(job);
}

/* What agentd says in a message; NULL: there is no memory. */
static struct filter_job *
new_job(uint64_t id, uint32_t attach, const struct tc_filter *filter)
{
	struct filter_job *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return NULL;
	j->id = id;
	j->attach = attach;
	j->filter = *filter;
	j->told = true;
	j->job.discard = discard;
	return j;
}

/* ---- detaching ---- */

static void
run_detach(struct job *job, const struct kernel *k)
{
	struct filter_job *j = (struct filter_job *)job;

	j->error = clsact_detach(k, &j->filter);
}

static void
handle_detached(struct job *job, void *ctx)
{
	struct filter_job *j = (struct filter_job *)job;
	struct msg_filter_detached msg = { .filter = j->filter };
	struct bpfd *b = ctx;

	/* Somebody else, or the interface's end, may have done it. */
	if (j->error < 0 && j->error != -ENOENT) {
		msg.result = (uint32_t)failure_kind(j->error);
		str_copy_cut(msg.error, sizeof(msg.error), strerror(-j->error));
	}
	if (j->told &&
	    msg_send_FILTER_DETACHED(b->worker.agentd, j->id, &msg) == -ENOBUFS)
		worker_fail(&b->worker);
	free(j);
}

void
filters_detach_forgotten(struct bpfd *b, struct load *l)
{
	struct filter_job *j;
	size_t i;

	for (i = 0; i < l->link_count; i++) {
		if (l->links[i].filter.handle == 0)
			continue;
		j = new_job(0, 0, &l->links[i].filter);
		if (j == NULL) {
			/* The next bpfd finds it. */
			worker_fail(&b->worker);
			return;
		}
		j->told = false;
		j->job.run = run_detach;
		j->job.done = handle_detached;
		queue_put(b->queue, &j->job);
	}
}

int
handle_filter_detach(struct imsg *m, void *ctx)
{
	const struct msg_filter_detach *msg = msg_get_FILTER_DETACH(m);
	struct bpfd *b = ctx;
	struct filter_job *j;

	if (!tc_filter_is_sound(&msg->filter))
		return -EINVAL;
	j = new_job(m->id, 0, &msg->filter);
	if (j == NULL)
		return -ENOMEM;
	j->job.run = run_detach;
	j->job.done = handle_detached;
	queue_put_first(b->queue, &j->job);
	return 0;
}

/* ---- checking ---- */

static void
run_check(struct job *job, const struct kernel *k)
{
	struct filter_job *j = (struct filter_job *)job;
	struct clsact_seen seen;

	j->error = clsact_look(k, &j->filter, &seen);
	if (j->error == 0)
		j->seen_prog_id = seen.filter.prog_id;
}

static void
handle_checked(struct job *job, void *ctx)
{
	struct filter_job *j = (struct filter_job *)job;
	const struct msg_filter_checked msg = {
		.attach = j->attach,
		.filter = j->filter,
		.seen_prog_id = j->seen_prog_id,
	};
	struct bpfd *b = ctx;

	/* What could not be seen is not known to be gone. */
	if ((j->error == 0 || j->error == -ENOENT) &&
	    msg_send_FILTER_CHECKED(b->worker.agentd, j->id, &msg) == -ENOBUFS)
		worker_fail(&b->worker);
	free(j);
}

int
handle_filter_check(struct imsg *m, void *ctx)
{
	const struct msg_filter_check *msg = msg_get_FILTER_CHECK(m);
	struct bpfd *b = ctx;
	struct filter_job *j;

	if (!tc_filter_is_sound(&msg->filter))
		return -EINVAL;
	j = new_job(m->id, msg->attach, &msg->filter);
	if (j == NULL)
		return -ENOMEM;
	j->job.run = run_check;
	j->job.done = handle_checked;
	queue_put(b->queue, &j->job);
	return 0;
}

/* ---- what was left behind ---- */

struct sweep_job {
	struct job job;
	struct tc_filter *keep;
	int *prog_fds; /* of programs that are adopted; -1: not */
	size_t count;
	struct msg_filters_kept answer;
	int error;
};

static void
sweep_free(struct job *job)
{
	struct sweep_job *s = (struct sweep_job *)job;
	size_t i;

	for (i = 0; s->prog_fds != NULL && i < s->count; i++)
		fd_close(&s->prog_fds[i]);
	free(s->prog_fds);
	free(s->keep);
	free(s);
}

static void
run_sweep(struct job *job, const struct kernel *k)
{
	struct sweep_job *s = (struct sweep_job *)job;

	s->error = clsact_sweep(k, s->keep, s->prog_fds, s->count,
	    &s->answer.removed, &s->answer.restored);
}

static void
handle_swept(struct job *job, void *ctx)
{
	struct sweep_job *s = (struct sweep_job *)job;
	struct bpfd *b = ctx;

	s->answer.incomplete = s->error < 0;
	if (s->error < 0)
		log_line(LOG_LEVEL_ERROR, NULL, strerror(-s->error),
		    "tc filters that an agent before this one left behind "
		    "cannot all be removed");
	if (s->answer.removed > 0)
		log_warn("removed %u tc filters that an agent before this one "
			 "left behind",
		    s->answer.removed);
	if (msg_send_FILTERS_KEPT(b->worker.agentd, 0, &s->answer) == -ENOBUFS)
		worker_fail(&b->worker);
	sweep_free(job);
}

/* The records, checked, with the programs that they should run. */
static int
fill_sweep(struct bpfd *b, struct sweep_job *s, const struct memfd_map *map)
{
	size_t i;
	int fd;

	if (map->len != s->count * sizeof(*s->keep))
		return -EINVAL;
	s->keep = calloc(s->count + 1, sizeof(*s->keep));
	s->prog_fds = calloc(s->count + 1, sizeof(*s->prog_fds));
	if (s->keep == NULL || s->prog_fds == NULL)
		return -ENOMEM;
	if (s->count > 0)
		memcpy(s->keep, map->data, map->len);
	for (i = 0; i < s->count; i++)
		s->prog_fds[i] = -1;
	for (i = 0; i < s->count; i++) {
		if (!tc_filter_is_sound(&s->keep[i]))
			return -EINVAL;
		if (artifact_find_prog(
			&b->artifacts, s->keep[i].prog_id, &fd) != NULL)
			s->prog_fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	}
	return 0;
}

int
handle_filters_keep(struct imsg *m, void *ctx)
{
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	struct bpfd *b = ctx;
	struct sweep_job *s;
	int r;

	if (msg_get_FILTERS_KEEP(m)->count > TC_FILTERS_MAX)
		return -EINVAL;
	r = memfd_map(m->fd, TC_FILTERS_MAX * sizeof(*s->keep), &map);
	if (r < 0)
		return r;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	s->count = msg_get_FILTERS_KEEP(m)->count;
	r = fill_sweep(b, s, &map);
	if (r < 0) {
		sweep_free(&s->job);
		return r;
	}
	s->job.run = run_sweep;
	s->job.done = handle_swept;
	s->job.discard = sweep_free;
	queue_put(b->queue, &s->job);
	return 0;
}
