/* SPDX-License-Identifier: ISC */
/*
 * Other parameters for an artifact that runs: what differs is written into
 * its maps, if that is all it takes.
 */
#ifndef BPFD_UPDATE_H
#define BPFD_UPDATE_H

#include "bpfd/artifact.h"
#include "bpfd/queue.h"
#include "common/msg.h"

/*
 * The artifact is borrowed: while a job is at work on it nothing takes its
 * plan or its descriptors away (struct artifact, updating).
 */
struct update_job {
	struct job job;
	uint64_t id;              /* of the change: agentd's new record */
	struct artifact *running; /* whose maps are written */
	struct artifact *wanted;  /* owned; holds the new plan alone */
	bool take_back;
	struct msg_update_done answer;
};

/*
 * The job for MSG with its plan in FD (borrowed).  NULL with -errno in *R and
 * *WHAT (static) saying why.
 */
struct update_job *update_job_new(struct artifact *running, uint64_t id,
    const struct msg_update_plan *msg, int fd, int *r,
    const char **what) _must_check_;
/* Does not touch what is running. */
void update_job_free(struct update_job *u);

/*
 * It was written: the artifact goes by the new plan.  In the thread of the
 * event loop.
 */
void update_job_take_plan(struct update_job *u);

#endif
