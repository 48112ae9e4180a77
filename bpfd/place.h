/* SPDX-License-Identifier: ISC */
/*
 * Places of attachments: of a load, all that its attachments mean now; of a
 * running artifact, one that agentd names because it has come, or because the
 * program is not there any more.
 */
#ifndef BPFD_PLACE_H
#define BPFD_PLACE_H

#include "bpfd/artifact.h"
#include "bpfd/attach.h"
#include "bpfd/load.h"
#include "bpfd/queue.h"
#include "common/msg.h"

/*
 * Make L's links the places that the plan's attachments mean: old links that
 * still are at one of them stay, the others are closed, and what is missing
 * is added.  0, or -errno with the reason in L.
 */
int place_plan(struct load *l, const struct kernel *k) _must_check_;

/* To attach at one place; answered by LINK_ATTACHED. */
struct place_job {
	struct job job;
	uint64_t id; /* the artifact's */
	struct loadplan_attach attach;
	struct place place;
	int prog_fd;
	int link_fd; /* the result, or -1 */
	struct msg_link_attached answer;
};

/*
 * The job for MSG on the running artifact A (both borrowed).  NULL with -errno
 * in *R: -EINVAL, the message makes no sense.
 */
struct place_job *place_job_new(const struct artifact *a,
    const struct msg_link_attach *msg, int *r) _must_check_;
void place_job_free(struct place_job *p);

#endif
