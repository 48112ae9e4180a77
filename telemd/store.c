/* SPDX-License-Identifier: ISC */
#include "telemd/store.h"

#include "common/clock.h"

#define TICK_MS 250

static void
store_batch_locked(struct store *st, struct batch *b)
{
	struct pipeline *p = st->pipeline;

	if (b->event_number > p->seen)
		p->seen = b->event_number;
	if (b->class == EVENT_VOLATILE &&
	    (!p->connected || p->volatile_bytes > PIPELINE_VOLATILE_MAX)) {
		pipeline_drop_locked(p, b);
		return;
	}
	pipeline_remember_locked(p, b);
}

void *
store_run(void *arg)
{
	struct store *st = arg;
	struct pipeline *p = st->pipeline;
	struct batch *b;

	(void)pthread_mutex_lock(&p->mu);
	for (;;) {
		if (TAILQ_EMPTY(&p->in)) {
			if (p->stop)
				break;
			pipeline_wait_locked(p, &p->store_wake, TICK_MS);
			continue;
		}
		while ((b = TAILQ_FIRST(&p->in)) != NULL) {
			TAILQ_REMOVE(&p->in, b, entry);
			p->in_bytes -= b->buf.len;
			store_batch_locked(st, b);
		}
		pipeline_accept_locked(p);
		(void)pthread_cond_signal(&p->publish_wake);
		pipeline_wake_main(p);
	}
	(void)pthread_mutex_unlock(&p->mu);
	return NULL;
}
