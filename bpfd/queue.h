/* SPDX-License-Identifier: ISC */
/*
 * The loader's thread.  The verifier may take seconds and an XDP attachment
 * waits for an RCU grace period; sampling and pings must not.  One thread,
 * so loads happen in the order in which they were asked for.
 */
#ifndef BPFD_QUEUE_H
#define BPFD_QUEUE_H

#include "bpfd/load.h"

struct event_base;
struct queue;

/* Called in the event loop's thread with a finished load (takes it). */
typedef void (*queue_done)(struct load *l, void *ctx);

/* Start the thread.  K must outlive the queue and does not change. */
int queue_start(struct queue **out, struct event_base *base,
    const struct kernel *k, queue_done done, void *ctx) _must_check_;

/* Hand a load over; it comes back through done(). */
void queue_put(struct queue *q, struct load *l);

/*
 * End the thread after the load it is at; what waits is freed.  NULL is
 * ignored.
 */
void queue_stop(struct queue *q);

#endif
