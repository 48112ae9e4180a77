/* SPDX-License-Identifier: ISC */
#include "telemd/publish.h"

#include "common/clock.h"
#include "telemd/retry.h"

/* Bytes between two round trips: what a stalled broker can hold up. */
#define CHUNK_BYTES (1u << 20)

/*
 * A round trip wakes three threads, so violations share one for as long as
 * their rings have room: their delivery does not wait for it.
 */
#define CONFIRM_MS 100

/* While violations come they are published this often, several ticks at once.
 */
#define COLLECT_MS 50

#define IDLE_WAIT_MS  200
#define FLUSH_WAIT_MS 1000
#define RETRY_WAIT_MS 1000
#define ACK_TRIES     10

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

/*
 * The first batch in memory that is not published, held, and up to which
 * number everything has its place: what the spool holds beyond it may have
 * company that is still on its way.  These numbers are kept before anybody
 * can see them.
 */
static struct batch *
hold_batch(struct publisher *pub, uint64_t *horizon)
{
	struct pipeline *p = pub->pipeline;
	struct batch *b;

	(void)pthread_mutex_lock(&p->mu);
	*horizon = p->placed;
	TAILQ_FOREACH (b, &p->memory, entry)
		if (b->last_seq > pub->published)
			break;
	if (b != NULL && b->first_seq > *horizon)
		b = NULL;
	if (b != NULL)
		b->refs++;
	(void)pthread_mutex_unlock(&p->mu);
	(void)seqstate_store(pub->seqstate, *horizon + 1, 0, NULL);
	return b;
}

static void
release_batch(struct publisher *pub, struct batch *b)
{
	if (b == NULL)
		return;
	(void)pthread_mutex_lock(&pub->pipeline->mu);
	pipeline_release_locked(pub->pipeline, b);
	(void)pthread_mutex_unlock(&pub->pipeline->mu);
}

/* The next record of a stream that is not published; NULL: none for now. */
static const struct record *
peek(struct publisher *pub, enum spool_stream stream)
{
	struct publish_source *src = &pub->sources[stream];
	const struct record *r;

	for (;;) {
		if (src->off == src->len) {
			src->off = 0;
			src->len = spool_read(pub->spool, stream, src->buf,
			    SPOOL_READ_SIZE, pub->lost);
			if (src->len == 0)
				return NULL;
		}
		r = (const void *)(src->buf + src->off);
		if (r->seq > pub->published)
			return r;
		src->off += record_size(r);
	}
}

static int
publish_record(struct publisher *pub, const struct record *r)
{
	int rc = broker_publish(pub->broker, r, record_subject(pub, r));

	if (rc == 0) {
		pub->published = r->seq;
		pub->sent[r->type]++;
	}
	return rc;
}

/* BYTES were published, and must be confirmed: at once if in a HURRY. */
static void
note_published(struct publisher *pub, size_t bytes, bool hurry)
{
	if (pub->unconfirmed_bytes == 0)
		pub->unconfirmed_since = clock_boot_ns();
	pub->unconfirmed_bytes += bytes;
	pub->hurry |= hurry;
}

static int
publish_batch(struct publisher *pub, const struct batch *b)
{
	const struct record *r;
	size_t off = 0;
	int rc = 0;

	while (rc == 0 && (r = batch_next(b, &off)) != NULL)
		if (r->seq > pub->published)
			rc = publish_record(pub, r);
	note_published(
	    pub, b->buf.len, b->hurry || b->class != EVENT_VIOLATION);
	return rc;
}

/* Records of one stream, as long as none of another place comes before. */
static int
publish_stream(struct publisher *pub, enum spool_stream stream, uint64_t limit)
{
	const struct record *r;
	int rc = 0;

	while (rc == 0 && pub->unconfirmed_bytes < CHUNK_BYTES &&
	    (r = peek(pub, stream)) != NULL && r->seq < limit) {
		note_published(pub, record_size(r), true);
		rc = publish_record(pub, r);
	}
	return rc;
}

/* From the place with the lowest number.  1: did; 0: there is nothing. */
static int
publish_lowest(struct publisher *pub)
{
	const struct record *r;
	uint64_t horizon, seqs[SPOOL_STREAMS], memory, other;
	struct batch *b = hold_batch(pub, &horizon);
	int i, lowest, rc;

	memory = horizon + 1;
	if (b != NULL)
		memory = b->first_seq > pub->published ? b->first_seq
						       : pub->published + 1;
	for (i = 0; i < SPOOL_STREAMS; i++) {
		r = peek(pub, (enum spool_stream)i);
		seqs[i] = r != NULL ? r->seq : UINT64_MAX;
	}
	lowest = seqs[SPOOL_EVENTS] < seqs[SPOOL_VIOLATIONS] ? SPOOL_EVENTS
							     : SPOOL_VIOLATIONS;
	other = seqs[SPOOL_STREAMS - 1 - lowest];
	if (seqs[lowest] < memory) {
		rc = publish_stream(pub, (enum spool_stream)lowest,
		    memory < other ? memory : other);
	} else if (b != NULL) {
		rc = publish_batch(pub, b);
	} else {
		/* All that has a place is published, or was dropped. */
		if (horizon > pub->published)
			pub->published = horizon;
		return 0;
	}
	release_batch(pub, b);
	return rc < 0 ? rc : 1;
}

/* Begin again after what the broker is known to have. */
static void
rewind_to_flushed(struct publisher *pub)
{
	int i;

	pub->published = pub->flushed;
	pub->unconfirmed_bytes = 0;
	pub->hurry = false;
	memset(pub->sent, 0, sizeof(pub->sent));
	for (i = 0; i < SPOOL_STREAMS; i++)
		pub->sources[i].off = pub->sources[i].len = 0;
	spool_rewind(pub->spool);
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
	unsigned int tries = 0;
	int r;

	do {
		r = broker_flush(pub->broker, FLUSH_WAIT_MS);
		/* An ack of JetStream's that got lost does not come again;
		 * it knows what it has by the Nats-Msg-Id. */
		if (pub->broker->stream[0] != '\0' && ++tries == ACK_TRIES)
			break;
	} while (r == -EAGAIN && broker_epoch(pub->broker) == pub->epoch &&
	    !stopping(pub));
	if (r == 0 && broker_epoch(pub->broker) != pub->epoch)
		return -EIO;
	return r;
}

/* The broker has all that was published. */
static void
confirm(struct publisher *pub)
{
	struct pipeline *p = pub->pipeline;
	uint64_t dropped[EVENT_TYPE_MAX];
	int i;

	(void)pthread_mutex_lock(&p->mu);
	for (i = 0; i < EVENT_TYPE_MAX; i++) {
		p->sent[i] += pub->sent[i];
		p->dropped[i] += pub->lost[i];
		pub->sent[i] = pub->lost[i] = 0;
	}
	(void)pthread_mutex_unlock(&p->mu);
	pub->flushed = pub->published;
	pub->unconfirmed_bytes = 0;
	pub->hurry = false;
	spool_confirm(pub->spool, pub->flushed);
	/* What rings lost is counted with this. */
	pipeline_confirm(p, pub->flushed);
	(void)pthread_mutex_lock(&p->mu);
	memcpy(dropped, p->dropped, sizeof(dropped));
	(void)pthread_mutex_unlock(&p->mu);
	(void)seqstate_store(pub->seqstate, 0, pub->flushed, dropped);
}

/* Milliseconds until what was published must be confirmed. */
static unsigned int
confirm_due_ms(struct publisher *pub)
{
	int64_t passed_ms;

	if (pub->unconfirmed_bytes == 0)
		return IDLE_WAIT_MS;
	if (pub->hurry || pub->unconfirmed_bytes >= CHUNK_BYTES ||
	    stopping(pub))
		return 0;
	passed_ms = (clock_boot_ns() - pub->unconfirmed_since) / NSEC_PER_MSEC;
	return passed_ms < CONFIRM_MS ? (unsigned int)(CONFIRM_MS - passed_ms)
				      : 0;
}

/* One round: publish, flush, confirm.  1: did something; 0: nothing to do. */
static int
publish_round(struct publisher *pub)
{
	uint64_t epoch = broker_epoch(pub->broker);
	int r;

	if (epoch != pub->epoch) {
		pub->epoch = epoch;
		rewind_to_flushed(pub);
	}
	send_replies(pub);
	do {
		r = publish_lowest(pub);
	} while (r == 1 && pub->unconfirmed_bytes < CHUNK_BYTES);
	if (r >= 0 && pub->published > pub->flushed &&
	    (pub->unconfirmed_bytes == 0 || confirm_due_ms(pub) == 0)) {
		r = pub->unconfirmed_bytes > 0 ? await_broker(pub) : 0;
		if (r == 0)
			confirm(pub);
		r = r == 0 ? 1 : r;
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

	(void)pthread_mutex_lock(&p->mu);
	if (!p->stop && STAILQ_EMPTY(&p->replies) &&
	    p->placed <= pub->published) {
		p->publisher_comes = pub->unconfirmed_bytes > 0;
		if (p->publisher_comes && ms > COLLECT_MS)
			ms = COLLECT_MS;
		p->gathered = 0;
		pipeline_wait_locked(p, &p->publish_wake, ms);
		p->publisher_comes = false;
	}
	(void)pthread_mutex_unlock(&p->mu);
}

/* Not connected yet: look again soon, or when nats.c says so. */
static void
await_connection(struct publisher *pub)
{
	struct pipeline *p = pub->pipeline;

	(void)pthread_mutex_lock(&p->mu);
	if (!p->stop)
		pipeline_wait_locked(p, &p->publish_wake, IDLE_WAIT_MS);
	(void)pthread_mutex_unlock(&p->mu);
}

/* Refused: there may be much to do, but not now, whoever wakes us. */
static void
back_off(struct publisher *pub, unsigned int ms)
{
	struct pipeline *p = pub->pipeline;
	int64_t now = clock_boot_ns(), until;

	ms = retry_wait_ms(ms, (uint64_t)now);
	until = now + ms * NSEC_PER_MSEC;
	(void)pthread_mutex_lock(&p->mu);
	while (!p->stop && (now = clock_boot_ns()) < until)
		pipeline_wait_locked(p, &p->publish_wake,
		    (unsigned int)((until - now) / NSEC_PER_MSEC) + 1);
	(void)pthread_mutex_unlock(&p->mu);
}

void *
publish_run(void *arg)
{
	struct publisher *pub = arg;
	int r;

	pub->published = pub->flushed;
	while (!stopping(pub)) {
		if (broker_open(pub->broker) < 0) {
			back_off(pub, RETRY_WAIT_MS);
			continue;
		}
		if (!broker_is_connected(pub->broker)) {
			await_connection(pub);
			continue;
		}
		r = publish_round(pub);
		if (r < 0)
			back_off(pub, IDLE_WAIT_MS);
		else if (r == 0)
			idle(pub, confirm_due_ms(pub));
	}
	/* What is on its way gets a last chance. */
	while (broker_is_connected(pub->broker) && publish_round(pub) == 1)
		continue;
	broker_close(pub->broker);
	nats_ReleaseThreadMemory();
	return NULL;
}
