/* SPDX-License-Identifier: ISC */
#include "telemd/pipeline.h"

#include <stdarg.h>
#include <sys/eventfd.h>
#include <time.h>

#include "common/clock.h"

int
pipeline_init(struct pipeline *p)
{
	pthread_condattr_t attr;

	memset(p, 0, sizeof(*p));
	TAILQ_INIT(&p->in);
	TAILQ_INIT(&p->memory);
	STAILQ_INIT(&p->notes);
	STAILQ_INIT(&p->signals);
	STAILQ_INIT(&p->replies);
	/* What an earlier telemd left: the store thread will see. */
	p->violations_spooled = true;
	p->main_wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (p->main_wake == -1)
		return -errno;
	(void)pthread_mutex_init(&p->mu, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&p->store_wake, &attr);
	(void)pthread_cond_init(&p->publish_wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	return 0;
}

bool
pipeline_is_behind_locked(const struct pipeline *p)
{
	const struct batch *oldest = TAILQ_FIRST(&p->memory);

	return !p->connected || p->memory_bytes > PIPELINE_MEMORY_MAX / 2 ||
	    (oldest != NULL &&
		clock_boot_ns() - oldest->born_ns > PIPELINE_BEHIND_NS);
}

/* True: all before B has its place, and B needs none but memory. */
static bool
may_skip_store_locked(const struct pipeline *p, const struct batch *b)
{
	return b->class == EVENT_VIOLATION && TAILQ_EMPTY(&p->in) &&
	    !p->placing && !p->violations_spooled &&
	    !pipeline_is_behind_locked(p);
}

void
pipeline_submit(struct pipeline *p, struct batch *b)
{
	b->born_ns = clock_boot_ns();
	(void)pthread_mutex_lock(&p->mu);
	if (may_skip_store_locked(p, b)) {
		pipeline_remember_locked(p, b);
		p->placed = b->last_seq;
		p->gathered += b->buf.len;
		/* Else it comes soon by itself: one wake-up for several. */
		if (!p->publisher_comes || b->hurry ||
		    p->gathered > PIPELINE_GATHER_MAX)
			(void)pthread_cond_signal(&p->publish_wake);
	} else {
		TAILQ_INSERT_TAIL(&p->in, b, entry);
		p->in_bytes += b->buf.len;
		(void)pthread_cond_signal(&p->store_wake);
	}
	(void)pthread_mutex_unlock(&p->mu);
}

bool
pipeline_has_room(struct pipeline *p, bool full)
{
	bool room;

	(void)pthread_mutex_lock(&p->mu);
	room = p->in_bytes + p->memory_bytes <
	    (full ? PIPELINE_MEMORY_MAX : PIPELINE_MEMORY_EASY);
	(void)pthread_mutex_unlock(&p->mu);
	return room;
}

void
pipeline_reply(struct pipeline *p, const char *subject, struct jsonbuf *json)
{
	struct reply *r = calloc(1, sizeof(*r));

	if (r == NULL || json->failed ||
	    str_copy(r->subject, sizeof(r->subject), subject) < 0) {
		free(r);
		jsonbuf_free(json);
		return;
	}
	r->json = *json;
	*json = (struct jsonbuf){ 0 };
	(void)pthread_mutex_lock(&p->mu);
	STAILQ_INSERT_TAIL(&p->replies, r, entry);
	(void)pthread_cond_signal(&p->publish_wake);
	(void)pthread_mutex_unlock(&p->mu);
}

void
pipeline_wake_main(struct pipeline *p)
{
	const uint64_t one = 1;

	/* EAGAIN: the counter is full, so main is awake already. */
	while (write(p->main_wake, &one, sizeof(one)) == -1 && errno == EINTR)
		continue;
}

void
pipeline_note(struct pipeline *p, enum log_level level, const char *error,
    const char *fmt, ...)
{
	struct note *n = calloc(1, sizeof(*n));
	va_list ap;

	if (n == NULL)
		return;
	n->level = level;
	va_start(ap, fmt);
	(void)vsnprintf(n->text, sizeof(n->text), fmt, ap);
	va_end(ap);
	if (error != NULL)
		str_copy_cut(n->error, sizeof(n->error), error);
	(void)pthread_mutex_lock(&p->mu);
	STAILQ_INSERT_TAIL(&p->notes, n, entry);
	(void)pthread_mutex_unlock(&p->mu);
	pipeline_wake_main(p);
}

void
pipeline_remember_locked(struct pipeline *p, struct batch *b)
{
	TAILQ_INSERT_TAIL(&p->memory, b, entry);
	p->memory_bytes += b->buf.len;
	if (b->class == EVENT_VOLATILE)
		p->volatile_bytes += b->buf.len;
	if (b->class == EVENT_DURABLE && !b->spooled)
		p->unsafe++;
}

void
pipeline_forget_locked(struct pipeline *p, struct batch *b)
{
	TAILQ_REMOVE(&p->memory, b, entry);
	p->memory_bytes -= b->buf.len;
	if (b->class == EVENT_VOLATILE)
		p->volatile_bytes -= b->buf.len;
	if (b->class == EVENT_DURABLE && !b->spooled)
		p->unsafe--;
}

void
pipeline_drop_locked(struct pipeline *p, struct batch *b)
{
	const struct record *r;
	size_t off = 0;

	while ((r = batch_next(b, &off)) != NULL)
		p->dropped[r->type]++;
	pipeline_safe_locked(p, b);
	batch_free(b);
}

void
pipeline_safe_locked(struct pipeline *p, struct batch *b)
{
	struct ring_done *done;
	size_t i, cap;

	if (b->ring == 0)
		return;
	/* Not before: what is read again from the ring tells it again. */
	p->dropped[EVENT_VIOLATION_REPORT] += b->lost;
	b->lost = 0;
	for (i = 0; i < p->done_count; i++) {
		if (p->done[i].ring == b->ring) {
			p->done[i].position = b->ring_position;
			return;
		}
	}
	if (p->done_count == p->done_cap) {
		cap = p->done_cap == 0 ? 16 : 2 * p->done_cap;
		done = realloc(p->done, cap * sizeof(*done));
		/* The ring goes on with its next batch. */
		if (done == NULL)
			return;
		p->done = done;
		p->done_cap = cap;
	}
	p->done[p->done_count++] =
	    (struct ring_done){ b->ring, b->ring_position };
}

bool
pipeline_accept_locked(struct pipeline *p)
{
	uint64_t accepted = p->seen;
	const struct batch *b;

	if (p->unsafe > 0) {
		TAILQ_FOREACH (b, &p->memory, entry) {
			if (b->class != EVENT_DURABLE || b->spooled)
				continue;
			accepted = b->event_number - 1;
			break;
		}
	}
	if (accepted <= p->accepted)
		return false;
	p->accepted = accepted;
	return true;
}

void
pipeline_confirm(struct pipeline *p, uint64_t seq)
{
	struct batch *b;
	bool news;

	(void)pthread_mutex_lock(&p->mu);
	p->confirmed = seq;
	while ((b = TAILQ_FIRST(&p->memory)) != NULL && b->last_seq <= seq) {
		pipeline_forget_locked(p, b);
		if (!b->spooled)
			pipeline_safe_locked(p, b);
		if (b->refs == 0)
			batch_free(b);
		else
			b->gone = true;
	}
	news = pipeline_accept_locked(p);
	(void)pthread_mutex_unlock(&p->mu);
	/* Rings that wait to be released are looked at by the clock. */
	if (news)
		pipeline_wake_main(p);
}

void
pipeline_release_locked(struct pipeline *p, struct batch *b)
{
	if (--b->refs == 0 && b->gone)
		batch_free(b);
}

void
pipeline_wait_locked(struct pipeline *p, pthread_cond_t *cond, unsigned int ms)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	(void)pthread_cond_timedwait(cond, &p->mu, &until);
}
