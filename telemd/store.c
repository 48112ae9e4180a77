/* SPDX-License-Identifier: ISC */
#include "telemd/store.h"

#include "common/clock.h"

#define TICK_MS 250

/* Life cycle events kept in memory when the disk takes none. */
#define UNSAFE_BYTES_MAX (8u << 20)

static void
say_failure(struct store *st, int r)
{
	if (st->failing)
		return;
	st->failing = true;
	st->full = r == -EDQUOT;
	if (st->full)
		pipeline_note(st->pipeline, LOG_LEVEL_WARN, NULL,
		    "the spool is full (AGENT_SPOOL_MAX_MB): events are "
		    "dropped, violations first; they are counted");
	else
		pipeline_note(st->pipeline, LOG_LEVEL_ERROR, strerror(-r),
		    "the spool cannot be written: events are kept in memory "
		    "until NATS has them");
}

static void
say_room(struct store *st)
{
	st->failing = st->full = false;
	pipeline_note(st->pipeline, LOG_LEVEL_INFO, NULL, "the spool has room");
}

static void
say_spooled(struct pipeline *p, bool violations)
{
	(void)pthread_mutex_lock(&p->mu);
	p->violations_spooled = violations;
	(void)pthread_mutex_unlock(&p->mu);
}

/* Append to the spool; drops and failures are counted and said. */
static int
append(struct store *st, struct batch *b)
{
	struct pipeline *p = st->pipeline;
	uint64_t dropped[EVENT_TYPE_MAX] = { 0 }, any = 0;
	int i, r;

	if (b->class == EVENT_VIOLATION)
		say_spooled(p, true);
	r = spool_append(st->spool, b, dropped);
	for (i = 0; i < EVENT_TYPE_MAX; i++)
		any += dropped[i];
	if (r == -ENODEV)
		return r;
	if (r < 0 || any > 0)
		say_failure(st, r < 0 ? r : -EDQUOT);
	else if (st->failing)
		say_room(st);
	(void)pthread_mutex_lock(&p->mu);
	p->spool_full = st->failing;
	for (i = 0; i < EVENT_TYPE_MAX; i++)
		p->dropped[i] += dropped[i];
	(void)pthread_mutex_unlock(&p->mu);
	return r;
}

static bool
is_behind(struct pipeline *p)
{
	bool behind;

	(void)pthread_mutex_lock(&p->mu);
	behind = pipeline_is_behind_locked(p);
	(void)pthread_mutex_unlock(&p->mu);
	return behind;
}

/* The first batch of CLASS that is in memory alone, held; or NULL. */
static struct batch *
hold_first_unspooled(struct pipeline *p, enum event_class class)
{
	struct batch *b;

	(void)pthread_mutex_lock(&p->mu);
	TAILQ_FOREACH (b, &p->memory, entry)
		if (b->class == class && !b->spooled)
			break;
	if (b != NULL)
		b->refs++;
	(void)pthread_mutex_unlock(&p->mu);
	return b;
}

/*
 * B is on disk now.  The publisher may be reading it; then it stays until
 * the broker has it, and what is on disk is skipped by its number.
 */
static void
mark_spooled(struct pipeline *p, struct batch *b)
{
	(void)pthread_mutex_lock(&p->mu);
	if (!b->gone) {
		if (b->class == EVENT_DURABLE)
			p->unsafe--;
		b->spooled = true;
		pipeline_safe_locked(p, b);
		if (b->refs == 1) {
			pipeline_forget_locked(p, b);
			b->gone = true;
		}
	}
	pipeline_release_locked(p, b);
	(void)pthread_mutex_unlock(&p->mu);
}

/*
 * Bring all batches of CLASS from memory to disk, oldest first, so that a
 * stream stays in the order of its numbers.  -errno: at least one is left.
 */
static int
move_to_spool(struct store *st, enum event_class class)
{
	struct pipeline *p = st->pipeline;
	struct batch *b;
	int r;

	while ((b = hold_first_unspooled(p, class)) != NULL) {
		r = append(st, b);
		if (r == 0) {
			mark_spooled(p, b);
			continue;
		}
		(void)pthread_mutex_lock(&p->mu);
		pipeline_release_locked(p, b);
		(void)pthread_mutex_unlock(&p->mu);
		return r;
	}
	return 0;
}

static void
remember(struct pipeline *p, struct batch *b)
{
	(void)pthread_mutex_lock(&p->mu);
	pipeline_remember_locked(p, b);
	(void)pthread_mutex_unlock(&p->mu);
}

static void
drop(struct pipeline *p, struct batch *b)
{
	(void)pthread_mutex_lock(&p->mu);
	pipeline_drop_locked(p, b);
	(void)pthread_mutex_unlock(&p->mu);
}

/* B is on disk and nowhere else. */
static void
let_go(struct pipeline *p, struct batch *b)
{
	(void)pthread_mutex_lock(&p->mu);
	pipeline_safe_locked(p, b);
	(void)pthread_mutex_unlock(&p->mu);
	batch_free(b);
}

/* True when something was appended and wants a sync. */
static bool
place_durable(struct store *st, struct batch *b)
{
	struct pipeline *p = st->pipeline;
	size_t bytes;

	/* Older ones that the disk did not take go first, or none does. */
	if (move_to_spool(st, EVENT_DURABLE) == 0 && append(st, b) == 0) {
		let_go(p, b);
		return true;
	}
	(void)pthread_mutex_lock(&p->mu);
	bytes = p->memory_bytes;
	if (bytes > UNSAFE_BYTES_MAX && !p->connected)
		pipeline_drop_locked(p, b);
	else
		pipeline_remember_locked(p, b);
	(void)pthread_mutex_unlock(&p->mu);
	return false;
}

static void
place_violations(struct store *st, struct batch *b)
{
	struct pipeline *p = st->pipeline;
	int r;

	if (!is_behind(p) && spool_is_empty(st->spool, SPOOL_VIOLATIONS)) {
		say_spooled(p, false);
		remember(p, b);
		return;
	}
	r = move_to_spool(st, EVENT_VIOLATION);
	if (r == 0)
		r = append(st, b);
	if (r == 0)
		let_go(p, b);
	else if (r == -EDQUOT)
		drop(p, b);
	else
		/* The ring keeps what does not fit into memory. */
		remember(p, b);
}

static void
place_volatile(struct store *st, struct batch *b)
{
	struct pipeline *p = st->pipeline;

	(void)pthread_mutex_lock(&p->mu);
	if (!p->connected || p->volatile_bytes > PIPELINE_VOLATILE_MAX)
		pipeline_drop_locked(p, b);
	else
		pipeline_remember_locked(p, b);
	(void)pthread_mutex_unlock(&p->mu);
}

static bool
place(struct store *st, struct batch *b)
{
	if (b->count == 0) {
		batch_free(b); /* a number to accept, and no more */
		return false;
	}
	switch (b->class) {
	case EVENT_DURABLE:
		return place_durable(st, b);
	case EVENT_VIOLATION:
		place_violations(st, b);
		return false;
	default:
		place_volatile(st, b);
		return false;
	}
}

/*
 * A group: all that came since the last one.  The numbers are kept before
 * anybody can see them, and one sync is enough for all.
 */
static void
place_group(struct store *st, struct batch_list *group)
{
	struct pipeline *p = st->pipeline;
	uint64_t last_seq = 0, number = 0, dropped[EVENT_TYPE_MAX];
	bool sync = false, news;
	struct batch *b;
	int r;

	TAILQ_FOREACH (b, group, entry)
		if (b->count > 0)
			last_seq = b->last_seq;
	(void)pthread_mutex_lock(&p->mu);
	memcpy(dropped, p->dropped, sizeof(dropped));
	(void)pthread_mutex_unlock(&p->mu);
	if (last_seq != 0) {
		r = seqstate_store(st->seqstate, last_seq + 1, 0, dropped);
		if (r < 0)
			say_failure(st, r);
	}
	while ((b = TAILQ_FIRST(group)) != NULL) {
		TAILQ_REMOVE(group, b, entry);
		if (b->event_number > number)
			number = b->event_number;
		sync |= place(st, b);
	}
	(void)pthread_mutex_lock(&p->mu);
	if (last_seq != 0)
		p->placed = last_seq;
	p->placing = false;
	(void)pthread_cond_signal(&p->publish_wake);
	(void)pthread_mutex_unlock(&p->mu);
	r = sync ? spool_sync(st->spool) : 0;
	if (r < 0)
		say_failure(st, r);
	(void)pthread_mutex_lock(&p->mu);
	if (number > p->seen)
		p->seen = number;
	news = pipeline_accept_locked(p);
	(void)pthread_mutex_unlock(&p->mu);
	if (news)
		pipeline_wake_main(p);
}

/* The broker has taken all: perhaps long before something is appended again. */
static void
notice_room(struct store *st)
{
	struct pipeline *p = st->pipeline;

	if (!st->full || !spool_is_empty(st->spool, SPOOL_EVENTS) ||
	    !spool_is_empty(st->spool, SPOOL_VIOLATIONS))
		return;
	say_room(st);
	(void)pthread_mutex_lock(&p->mu);
	p->spool_full = false;
	(void)pthread_mutex_unlock(&p->mu);
	pipeline_wake_main(p);
}

/* Time has passed: what waits too long in memory goes to disk. */
static void
tick(struct store *st)
{
	struct pipeline *p = st->pipeline;
	unsigned int unsafe;
	bool news;
	int r;

	if (st->spool->dir == -1)
		return;
	r = seqstate_error(st->seqstate);
	if (r < 0)
		say_failure(st, r);
	notice_room(st);
	if (is_behind(p) && move_to_spool(st, EVENT_VIOLATION) == -EDQUOT)
		return;
	(void)pthread_mutex_lock(&p->mu);
	unsafe = p->unsafe;
	(void)pthread_mutex_unlock(&p->mu);
	if (unsafe == 0 || move_to_spool(st, EVENT_DURABLE) < 0 ||
	    spool_sync(st->spool) < 0)
		return;
	(void)pthread_mutex_lock(&p->mu);
	news = pipeline_accept_locked(p);
	(void)pthread_mutex_unlock(&p->mu);
	if (news)
		pipeline_wake_main(p);
}

void *
store_run(void *arg)
{
	struct store *st = arg;
	struct pipeline *p = st->pipeline;
	struct batch_list group;
	bool stop = false;

	while (!stop) {
		TAILQ_INIT(&group);
		(void)pthread_mutex_lock(&p->mu);
		if (TAILQ_EMPTY(&p->in) && !p->stop)
			pipeline_wait_locked(p, &p->store_wake, TICK_MS);
		TAILQ_CONCAT(&group, &p->in, entry);
		p->in_bytes = 0;
		p->placing = !TAILQ_EMPTY(&group);
		stop = p->stop && TAILQ_EMPTY(&group);
		(void)pthread_mutex_unlock(&p->mu);
		if (!TAILQ_EMPTY(&group))
			place_group(st, &group);
		else
			tick(st);
	}
	return NULL;
}
