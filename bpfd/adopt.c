/* SPDX-License-Identifier: ISC */
#include "bpfd/bpfd.h"

#include <errno.h>

#include "common/log.h"
#include "common/msg.h"

int
handle_adopt_plan(struct imsg *m, void *ctx)
{
	const struct msg_load_plan *msg = msg_get_ADOPT_PLAN(m);
	struct bpfd *b = ctx;
	struct artifact *a;
	const char *what;
	int r;

	if (!MSG_ID_OK(msg->artifact_id) ||
	    artifact_find(&b->artifacts, m->id) != NULL ||
	    load_find(&b->loads, m->id) != NULL)
		return -EINVAL;
	a = artifact_new(m->id, msg->artifact_id);
	if (a == NULL)
		return -ENOMEM;
	r = artifact_set_plan(a, m->fd, &what);
	if (r < 0) {
		log_line(LOG_LEVEL_ERROR, msg->artifact_id, what,
		    "the plan of a running artifact is damaged");
		artifact_free(a);
		return r;
	}
	TAILQ_INSERT_TAIL(&b->artifacts, a, entry);
	return 0;
}

int
handle_adopt_prog(struct imsg *m, void *ctx)
{
	const struct msg_load_prog *msg = msg_get_ADOPT_PROG(m);
	struct bpfd *b = ctx;
	struct artifact *a = artifact_find(&b->artifacts, m->id);
	int r;

	if (a == NULL)
		return -EINVAL;
	r = artifact_set_prog(a, msg->index, imsg_take_fd(m));
	if (r == 0)
		a->progs[msg->index].memory =
		    kernel_fd_memory(&b->kernel, a->progs[msg->index].fd);
	return r;
}

int
handle_adopt_map(struct imsg *m, void *ctx)
{
	const struct msg_load_map *msg = msg_get_ADOPT_MAP(m);
	struct bpfd *b = ctx;
	struct artifact *a = artifact_find(&b->artifacts, m->id);
	int r;

	if (a == NULL)
		return -EINVAL;
	r = artifact_set_map(a, msg->index, imsg_take_fd(m));
	if (r == 0)
		a->maps[msg->index].memory =
		    kernel_fd_memory(&b->kernel, a->maps[msg->index].fd);
	return r;
}
