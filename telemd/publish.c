/* SPDX-License-Identifier: ISC */
#include "telemd/publish.h"

#include "common/clock.h"

/* Bytes between two round trips: what a stalled broker can hold up. */
#define CHUNK_BYTES (512u << 10)

#define IDLE_WAIT_MS  200
#define FLUSH_WAIT_MS 1000
#define RETRY_WAIT_MS 2000

#define STATUS_SUBJECT "agent.rollback.status"

static const char *
record_subject(const struct publisher *pub, const struct record *r)
{
	return r->type == EVENT_ROLLBACK_STATUS ? STATUS_SUBJECT : pub->subject;
}

static void
send_replies(struct publisher *pub)
{
	struct pipeline *p = pub->pipeline;
	struct reply_list list = STAILQ_HEAD_INITIALIZER(list);
	struct reply *r;

	(void)pthread_mutex_lock(&p->mu);
	STAILQ_CONCAT(&list, &p->replies);
	(void)pthread_mutex_unlock(&p->mu);
	while ((r = STAILQ_FIRST(&list)) != NULL) {
		STAILQ_REMOVE_HEAD(&list, entry);
		broker_answer(
		    pub->broker, r->subject, r->json.data, r->json.len);
		jsonbuf_free(&r->json);
		free(r);
	}
}

/* The first batch in memory that is not published; it is marked busy. */
static struct batch *
take_batch(struct publisher *pub)
{
	struct pipeline *p = pub->pipeline;
	struct batch *b;

	(void)pthread_mutex_lock(&p->mu);
	TAILQ_FOREACH (b, &p->memory, entry)
		if (b->last_seq > pub->published)
			break;
	if (b != NULL)
		b->busy = true;
	(void)pthread_mutex_unlock(&p->mu);
	return b;
}

static void
count_sent(struct publisher *pub, const uint64_t *sent)
{
	struct pipeline *p = pub->pipeline;
	int i;

	(void)pthread_mutex_lock(&p->mu);
	for (i = 0; i < EVENT_TYPE_MAX; i++)
		p->sent[i] += sent[i];
	(void)pthread_mutex_unlock(&p->mu);
}

static int
publish_batch(struct publisher *pub, struct batch *b, uint64_t *sent)
{
	const struct record *r;
	size_t off = 0;
	int rc = 0;

	while (rc == 0 && (r = batch_next(b, &off)) != NULL) {
		if (r->seq <= pub->published)
			continue;
		rc = broker_publish(pub->broker, r, record_subject(pub, r));
		if (rc == 0) {
			pub->published = r->seq;
			sent[r->type]++;
		}
	}
	(void)pthread_mutex_lock(&pub->pipeline->mu);
	b->busy = false;
	(void)pthread_mutex_unlock(&pub->pipeline->mu);
	return rc;
}

/* Publish until nothing is left or a chunk is full.  1: did something. */
static int
publish_chunk(struct publisher *pub, uint64_t *sent)
{
	size_t bytes = 0;
	struct batch *b;
	int r, did = 0;

	while (bytes < CHUNK_BYTES && (b = take_batch(pub)) != NULL) {
		bytes += b->buf.len;
		r = publish_batch(pub, b, sent);
		if (r < 0)
			return r;
		did = 1;
	}
	return did;
}

/* Begin again after what the broker is known to have. */
static void
rewind_to_confirmed(struct publisher *pub)
{
	struct pipeline *p = pub->pipeline;

	(void)pthread_mutex_lock(&p->mu);
	pub->published = p->confirmed;
	(void)pthread_mutex_unlock(&p->mu);
}

static bool
stopping(struct publisher *pub)
{
	bool stop;

	(void)pthread_mutex_lock(&pub->pipeline->mu);
	stop = pub->pipeline->stop;
	(void)pthread_mutex_unlock(&pub->pipeline->mu);
	return stop;
}

/*
 * Wait until the broker has it all.  While it is only slow there is nothing
 * better to do than to wait on: sending again would double everything.
 */
static int
await_broker(struct publisher *pub)
{
	int r;

	do {
		r = broker_flush(pub->broker, FLUSH_WAIT_MS);
	} while (r == -EAGAIN && broker_epoch(pub->broker) == pub->epoch &&
	    !stopping(pub));
	if (r == 0 && broker_epoch(pub->broker) != pub->epoch)
		return -EIO;
	return r;
}

/* One round: publish, flush, confirm.  1: did something; 0: nothing to do. */
static int
publish_round(struct publisher *pub)
{
	uint64_t sent[EVENT_TYPE_MAX] = { 0 };
	uint64_t epoch = broker_epoch(pub->broker);
	int r;

	if (epoch != pub->epoch) {
		pub->epoch = epoch;
		rewind_to_confirmed(pub);
	}
	send_replies(pub);
	r = publish_chunk(pub, sent);
	if (r == 1) {
		r = await_broker(pub);
		if (r == 0) {
			pipeline_confirm(pub->pipeline, pub->published);
			count_sent(pub, sent);
			return 1;
		}
	}
	if (r < 0) {
		pub->epoch = 0;
		broker_reset(pub->broker);
	}
	return r;
}

static void
idle(struct publisher *pub, unsigned int ms)
{
	struct pipeline *p = pub->pipeline;
	const struct batch *last;

	(void)pthread_mutex_lock(&p->mu);
	last = TAILQ_LAST(&p->memory, batch_list);
	if (!p->stop && STAILQ_EMPTY(&p->replies) &&
	    (last == NULL || last->last_seq <= pub->published))
		pipeline_wait_locked(p, &p->publish_wake, ms);
	(void)pthread_mutex_unlock(&p->mu);
}

/* Not connected, or refused: there may be much to do, but not now. */
static void
back_off(struct publisher *pub, unsigned int ms)
{
	struct pipeline *p = pub->pipeline;

	(void)pthread_mutex_lock(&p->mu);
	if (!p->stop)
		pipeline_wait_locked(p, &p->publish_wake, ms);
	(void)pthread_mutex_unlock(&p->mu);
}

void *
publish_run(void *arg)
{
	struct publisher *pub = arg;
	int r;

	while (!stopping(pub)) {
		if (broker_open(pub->broker) < 0) {
			back_off(pub, RETRY_WAIT_MS);
			continue;
		}
		if (!broker_is_connected(pub->broker)) {
			back_off(pub, IDLE_WAIT_MS);
			continue;
		}
		r = publish_round(pub);
		if (r < 0)
			back_off(pub, IDLE_WAIT_MS);
		else if (r == 0)
			idle(pub, IDLE_WAIT_MS);
	}
	/* What is on its way gets a last chance. */
	if (broker_is_connected(pub->broker))
		while (publish_round(pub) == 1)
			continue;
	broker_close(pub->broker);
	nats_ReleaseThreadMemory();
	return NULL;
}
