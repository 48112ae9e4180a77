/* SPDX-License-Identifier: ISC */
/*
 * What every worker does alike: take the channel on descriptor 3, be
 * configured, start, close the sandbox, say READY, answer pings, log through
 * agentd, and end when agentd does.
 */
#ifndef COMMON_WORKER_H
#define COMMON_WORKER_H

#include "common/imsg.h"
#include "common/proc.h"
#include "common/sandbox.h"

struct event_base;

struct worker {
	enum proc_role role;
	struct event_base *base;
	struct imsg_channel *agentd; /* the channel; send with msg_send_* */
	char host_id[128];           /* known from start() on */
	const struct worker_ops *ops;
	void *ctx;
	struct sandbox_grants grants; /* start() may add to it */
};

struct worker_ops {
	/*
	 * Handlers by message type, MSG_TYPE_MAX entries; their ctx is the
	 * ctx given to worker_main().  The common messages need none.
	 */
	const imsg_handler *handlers;
	/*
	 * Configuration is complete, the sandbox is still open, no foreign
	 * byte has been seen: load libraries, open what cannot be opened
	 * later, add to w->grants.  No threads yet.  0 or -errno (after
	 * logging why): the worker exits and is restarted with back-off.
	 */
	int (*start)(struct worker *w);
	/* The sandbox is closed: threads, listeners, first work.  The same. */
	int (*run)(struct worker *w);
	/* agentd is gone or the worker ends: stop threads.  May be NULL. */
	void (*stop)(struct worker *w);
};

/*
 * The body of a worker's main(): runs until agentd closes the channel.
 * W is the caller's, filled in here before the first handler runs.
 * Returns the exit status.
 */
int worker_main(struct worker *w, enum proc_role role,
    const struct worker_ops *ops, void *ctx);

/* End the loop with a failure: for a fault the worker cannot repair. */
void worker_fail(struct worker *w);

#endif
