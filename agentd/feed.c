/* SPDX-License-Identifier: ISC */
#include "agentd/feed.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/log.h"

struct kept {
	uint64_t number;
	struct msg_event event;
	int verifier_log; /* owned, or -1 */
};

struct follower {
	TAILQ_ENTRY(follower) entry;
	struct imsg_channel *channel;
	uint64_t id;
	void (*hang_up)(void *owner);
	void *owner;
	int64_t behind_since_boot_ns; /* 0: it keeps up */
};

struct feed {
	struct kept *history[FEED_HISTORY];
	uint64_t kept; /* so many ever: the next goes to kept % HISTORY */
	TAILQ_HEAD(, follower) followers;
	unsigned int count;
};

struct feed *
feed_new(void)
{
	struct feed *feed = calloc(1, sizeof(*feed));

	if (feed == NULL)
		fatal("out of memory");
	TAILQ_INIT(&feed->followers);
	return feed;
}

static void
kept_free(struct kept *k)
{
	if (k == NULL)
		return;
	fd_close(&k->verifier_log);
	free(k);
}

void
feed_free(struct feed *feed)
{
	struct follower *f;
	size_t i;

	if (feed == NULL)
		return;
	while ((f = TAILQ_FIRST(&feed->followers)) != NULL)
		feed_leave(feed, f->owner);
	for (i = 0; i < nitems(feed->history); i++)
		kept_free(feed->history[i]);
	free(feed);
}

static void
keep_event(struct feed *feed, uint64_t number, const struct msg_event *event,
    int verifier_log)
{
	struct kept **place = &feed->history[feed->kept % FEED_HISTORY];

	if (*place == NULL)
		*place = malloc(sizeof(**place));
	else
		fd_close(&(*place)->verifier_log);
	if (*place == NULL)
		return; /* telemd has it; the history has a gap */
	(*place)->number = number;
	(*place)->event = *event;
	(*place)->verifier_log = fd_copy(verifier_log);
	feed->kept++;
}

static int
send_end(
    struct imsg_channel *channel, uint64_t id, int result, const char *text)
{
	struct msg_events_end end = { .result = result };

	str_copy_cut(end.text, sizeof(end.text), text);
	return msg_send_EVENTS_END(channel, id, &end);
}

/* It gets what waits for it, the reason, and then nothing more. */
static void
leave_behind(struct follower *f)
{
	char text[AEGIS_TEXT_SIZE];

	(void)snprintf(text, sizeof(text),
	    "agentd sends no more events: %zu bytes wait to be read",
	    imsg_backlog(f->channel));
	f->behind_since_boot_ns = clock_boot_ns();
	log_warn("aegisctl events: a follower does not read: %s", text);
	if (send_end(f->channel, f->id, -ENOBUFS, text) < 0)
		f->hang_up(f->owner);
}

static void
offer(struct follower *f, uint64_t number, const struct msg_event *event,
    int verifier_log)
{
	if (f->behind_since_boot_ns != 0) {
		/* An event comes at least with every heartbeat. */
		if (clock_boot_ns() - f->behind_since_boot_ns >
		    FEED_GRACE_SEC * NSEC_PER_SEC)
			f->hang_up(f->owner);
	} else if (imsg_backlog(f->channel) > FEED_BACKLOG_MAX) {
		leave_behind(f);
	} else if (msg_send_EVENT(
		       f->channel, number, event, fd_copy(verifier_log)) < 0) {
		f->hang_up(f->owner);
	}
}

void
feed_add(struct feed *feed, uint64_t number, const struct msg_event *event,
    int verifier_log, bool keep)
{
	struct follower *f, *next;

	if (keep)
		keep_event(feed, number, event, verifier_log);
	for (f = TAILQ_FIRST(&feed->followers); f != NULL; f = next) {
		next = TAILQ_NEXT(f, entry);
		offer(f, number, event, verifier_log);
	}
}

static int
send_history(
    const struct feed *feed, struct imsg_channel *channel, uint32_t last)
{
	uint64_t n = feed->kept < FEED_HISTORY ? feed->kept : FEED_HISTORY, i;
	const struct kept *k;
	int r = 0;

	if (n > last)
		n = last;
	for (i = feed->kept - n; r == 0 && i < feed->kept; i++) {
		k = feed->history[i % FEED_HISTORY];
		r = msg_send_EVENT(
		    channel, k->number, &k->event, fd_copy(k->verifier_log));
	}
	return r;
}

int
feed_join(struct feed *feed, struct imsg_channel *channel, uint64_t id,
    uint32_t last, bool follow, void (*hang_up)(void *owner), void *owner)
{
	struct follower *f;
	int r;

	if (follow && feed->count >= FEED_FOLLOWERS_MAX)
		return -EBUSY;
	/* What is asked for again is sent again, but only what it reads. */
	if (imsg_backlog(channel) > 0)
		return -EAGAIN;
	feed_leave(feed, owner);
	r = send_history(feed, channel, last);
	if (r < 0 || !follow)
		return r < 0 ? r : send_end(channel, id, 0, "");
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return -ENOMEM;
	f->channel = channel;
	f->id = id;
	f->hang_up = hang_up;
	f->owner = owner;
	TAILQ_INSERT_TAIL(&feed->followers, f, entry);
	feed->count++;
	return 0;
}

void
feed_leave(struct feed *feed, const void *owner)
{
	struct follower *f, *next;

	for (f = TAILQ_FIRST(&feed->followers); f != NULL; f = next) {
		next = TAILQ_NEXT(f, entry);
		if (f->owner != owner)
			continue;
		TAILQ_REMOVE(&feed->followers, f, entry);
		feed->count--;
		free(f);
	}
}
