/* SPDX-License-Identifier: ISC */
/*
 * What a worker says for the log: it is written with the worker's name, and
 * no faster than anybody reads, since a worker that was taken over would fill
 * the disk with it.
 */
#ifndef AGENTD_WORKER_LOG_H
#define AGENTD_WORKER_LOG_H

#include "common/cleanup.h"
#include "common/msg.h"
#include "common/proc.h"
#include "common/ratelimit.h"

#define WORKER_LOG_RATE 500 /* lines a second, and in one burst */

struct worker_log {
	struct ratelimit limit;
	uint64_t left_out; /* lines that were not told of yet */
};

void worker_log_init(struct worker_log *wl, int64_t now_ns);

/* Write the line of ROLE, or leave it out.  -EINVAL: it is none. */
int worker_log_write(struct worker_log *wl, enum proc_role role,
    const struct msg_worker_log *line, int64_t now_ns) _must_check_;

/* May one more line be written?  Else it counts as left out. */
bool worker_log_admit(struct worker_log *wl, int64_t now_ns);

/* Tell how many were left out, if any. */
void worker_log_tell(struct worker_log *wl, enum proc_role role);

#endif
