/* SPDX-License-Identifier: ISC */
#include "bpfd/bpfd.h"

#include <errno.h>
#include <string.h>

#include "bpfd/place.h"
#include "bpfd/queue.h"
#include "common/log.h"
#include "common/memfd.h"
#include "common/msg.h"

static void
discard_place(struct job *job)
{
	place_job_free((struct place_job *)job);
}

static void
handle_placed(struct job *job, void *ctx)
{
	struct place_job *p = (struct place_job *)job;
	struct bpfd *b = ctx;

	/* Forgotten meanwhile: the link goes again; of a filter agentd is told,
	 * and has it detached. */
	if ((artifact_find(&b->artifacts, p->id) != NULL ||
		p->answer.filter.handle != 0) &&
	    msg_send_LINK_ATTACHED(b->worker.agentd, p->id, &p->answer,
		fd_steal(&p->link_fd)) == -ENOBUFS)
		worker_fail(&b->worker);
	place_job_free(p);
}

int
handle_link_attach(struct imsg *m, void *ctx)
{
	const struct msg_link_attach *msg = msg_get_LINK_ATTACH(m);
	struct bpfd *b = ctx;
	struct artifact *a = artifact_find(&b->artifacts, m->id);
	struct place_job *p;
	int r;

	if (a == NULL)
		return -EINVAL;
	p = place_job_new(a, msg, &r);
	if (p == NULL)
		return r;
	p->job.done = handle_placed;
	p->job.discard = discard_place;
	queue_put(b->queue, &p->job);
	return 0;
}

static void
tell_interfaces(struct bpfd *b)
{
	struct msg_interfaces msg = { .count = (uint32_t)b->netdev.count };
	int fd = memfd_from_bytes("interfaces", b->netdev.list,
	    b->netdev.count * sizeof(*b->netdev.list));

	b->netdev.changed = false;
	if (fd < 0 || msg_send_INTERFACES(b->worker.agentd, 0, &msg, fd) < 0)
		log_warn("agentd cannot be told of the interfaces");
}

void
handle_netdev(evutil_socket_t fd, short what, void *arg)
{
	struct bpfd *b = arg;
	int r = netdev_read(&b->netdev);

	if (r < 0) {
		log_error("rtnetlink: %s: interfaces cannot be followed",
		    strerror(-r));
		worker_fail(&b->worker);
	}
	/* Half of a list is none. */
	if (b->netdev.changed && !b->netdev.dumping)
		tell_interfaces(b);
}
