/* SPDX-License-Identifier: ISC */
/*
 * Links of what runs that were given the program of a version that did not
 * come to be: they get their own back, in place, so that nothing is missed.
 */
#include "bpfd/bpfd.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "bpfd/failure.h"
#include "bpfd/queue.h"
#include "common/msg.h"

struct restore_job {
	struct job job;
	uint64_t id; /* the artifact's */
	int link_fd;
	int prog_fd;
	struct msg_link_restored answer;
};

static void
discard_restore(struct job *job)
{
	struct restore_job *j = (struct restore_job *)job;

	fd_close(&j->link_fd);
	fd_close(&j->prog_fd);
	free(j);
}

static void
run_restore(struct job *job, const struct kernel *k)
{
	struct restore_job *j = (struct restore_job *)job;
	int r;

	if (bpf_link_update(j->link_fd, j->prog_fd, NULL) == 0)
		return;
	r = -errno;
	j->answer.result = (uint32_t)failure_kind(r);
	str_copy_cut(j->answer.error, sizeof(j->answer.error), strerror(-r));
}

static void
handle_restored(struct job *job, void *ctx)
{
	struct restore_job *j = (struct restore_job *)job;
	struct bpfd *b = ctx;

	if (msg_send_LINK_RESTORED(b->worker.agentd, j->id, &j->answer) ==
	    -ENOBUFS)
		worker_fail(&b->worker);
	discard_restore(job);
}

int
handle_link_restore(struct imsg *m, void *ctx)
{
	const struct msg_link_restore *msg = msg_get_LINK_RESTORE(m);
	struct bpfd *b = ctx;
	const struct artifact *a = artifact_find(&b->artifacts, m->id);
	struct restore_job *j;
	int prog_fd, r;

	if (a == NULL || a->plan.header == NULL ||
	    msg->attach >= a->plan.header->attach_count)
		return -EINVAL;
	prog_fd = a->progs[a->plan.attaches[msg->attach].prog].fd;
	if (prog_fd < 0)
		return -EINVAL;
	j = calloc(1, sizeof(*j));
	if (j == NULL)
		return -ENOMEM;
	j->prog_fd = fcntl(prog_fd, F_DUPFD_CLOEXEC, 0);
	if (j->prog_fd == -1) {
		r = -errno;
		free(j);
		return r;
	}
	j->id = m->id;
	j->link_fd = imsg_take_fd(m);
	j->answer.attach = msg->attach;
	j->answer.ifindex = msg->ifindex;
	j->job.run = run_restore;
	j->job.done = handle_restored;
	j->job.discard = discard_restore;
	queue_put(b->queue, &j->job);
	return 0;
}
