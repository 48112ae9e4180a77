/* SPDX-License-Identifier: ISC */
/*
 * The loader's thread.  The verifier may take seconds and an XDP attachment
 * waits for an RCU grace period; sampling and pings must not.  One thread,
 * so loads happen in the order in which they were asked for.
 */
#ifndef BPFD_QUEUE_H
#define BPFD_QUEUE_H

#include <sys/queue.h>

#include "common/cleanup.h"

struct event_base;
struct kernel;
struct queue;

/*
 * A piece of work, embedded at the start of what it is about.  run() is
 * called in the loader's thread and touches nothing but the job; done(), in
 * the thread of the event loop, takes it; discard() frees one that will not
 * be done.
 */
struct job {
	TAILQ_ENTRY(job) queue;
	void (*run)(struct job *job, const struct kernel *k);
	void (*done)(struct job *job, void *ctx);
	void (*discard)(struct job *job);
};

TAILQ_HEAD(job_list, job);

/* Start the thread.  K must outlive the queue and does not change; CTX is
 * for done(). */
int queue_start(struct queue **out, struct event_base *base,
    const struct kernel *k, void *ctx) _must_check_;

/* Hand a job over; it comes back through done(). */
void queue_put(struct queue *q, struct job *job);
/* Likewise, before all that waits: what ends by the clock waits for no load
 * but the one under way. */
void queue_put_first(struct queue *q, struct job *job);

/*
 * End the thread after the job it is at; what waits is discarded.  NULL is
 * ignored.
 */
void queue_stop(struct queue *q);

#endif
