/* SPDX-License-Identifier: ISC */
#include "bpfd/bpfd.h"

#include <errno.h>

#include "bpfd/queue.h"
#include "bpfd/update.h"
#include "common/log.h"
#include "common/msg.h"

/* The artifact is free again; it goes if it was forgotten meanwhile. */
static void
release(struct update_job *u)
{
	u->running->updating = false;
	if (u->running->forgotten)
		artifact_free(u->running);
	update_job_free(u);
}

static void
discard_update(struct job *job)
{
	release((struct update_job *)job);
}

static void
handle_updated(struct job *job, void *ctx)
{
	struct update_job *u = (struct update_job *)job;
	struct bpfd *b = ctx;

	if (u->answer.in_place)
		update_job_take_plan(u);
	if (msg_send_UPDATE_DONE(b->worker.agentd, u->id, &u->answer) ==
	    -ENOBUFS)
		worker_fail(&b->worker);
	release(u);
}

int
handle_update_plan(struct imsg *m, void *ctx)
{
	const struct msg_update_plan *msg = msg_get_UPDATE_PLAN(m);
	struct bpfd *b = ctx;
	struct artifact *running = artifact_find(&b->artifacts, msg->running);
	struct update_job *u;
	const char *what;
	int r;

	if (running == NULL || msg->take_back > 1)
		return -EINVAL;
	u = update_job_new(running, m->id, msg, m->fd, &r, &what);
	if (u == NULL) {
		log_line(LOG_LEVEL_ERROR, running->artifact_id, what,
		    "a change of parameters cannot be taken");
		return r;
	}
	u->job.done = handle_updated;
	u->job.discard = discard_update;
	queue_put(b->queue, &u->job);
	return 0;
}
