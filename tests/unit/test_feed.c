/* SPDX-License-Identifier: ISC */
/*
 * The event stream for operators, with a bare socket in aegisctl's place.
 */
#include "agentd/feed.h"

#include "tests/unit/imsg_fixture.h"

/* One that follows, as control.c has it. */
struct client {
	struct fixture f;
	struct feed *feed;
	unsigned int hung_up;
};

static void
client_open(struct client *c, struct feed *feed)
{
	fixture_open(&c->f, PROC_AGENTD, PROC_CTL);
	c->feed = feed;
	c->hung_up = 0;
}

static void
handle_hang_up(void *owner)
{
	struct client *c = owner;

	c->hung_up++;
	feed_leave(c->feed, c);
}

static void
client_close(struct client *c)
{
	feed_leave(c->feed, c);
	fixture_close(&c->f);
}

static int
join(struct client *c, uint64_t id, uint32_t last, bool follow)
{
	return feed_join(c->feed, c->f.ch, id, last, follow, handle_hang_up, c);
}

static void
tell(struct feed *feed, uint64_t number, bool keep)
{
	const struct msg_event event = { .type = 1 };

	feed_add(feed, number, &event, -1, keep);
}

/* Ids that have come, from FROM to TO, and nothing more. */
static void
expect(struct client *c, uint64_t from, uint64_t to)
{
	for (; from <= to; from++)
		ck_assert_int_eq(raw_recv(c->f.raw), (int64_t)from);
	ck_assert_int_eq(raw_recv(c->f.raw), -1);
}

START_TEST (the_last_events_are_kept) {
	struct feed *feed = feed_new();
	struct client c;
	uint64_t n;

	client_open(&c, feed);
	/* Nothing yet: only the end, with the request's id. */
	ck_assert_int_eq(join(&c, 7000, 10, false), 0);
	expect(&c, 7000, 7000);
	for (n = 1; n <= 5; n++)
		tell(feed, n, n != 3);
	ck_assert_int_eq(join(&c, 7000, 2, false), 0);
	ck_assert_int_eq(raw_recv(c.f.raw), 4);
	ck_assert_int_eq(raw_recv(c.f.raw), 5);
	expect(&c, 7000, 7000);
	/* Samples and heartbeats are not kept; all that there is comes. */
	ck_assert_int_eq(join(&c, 7000, 1000, false), 0);
	ck_assert_int_eq(raw_recv(c.f.raw), 1);
	ck_assert_int_eq(raw_recv(c.f.raw), 2);
	ck_assert_int_eq(raw_recv(c.f.raw), 4);
	ck_assert_int_eq(raw_recv(c.f.raw), 5);
	expect(&c, 7000, 7000);
	client_close(&c);
	feed_free(feed);
}
END_TEST

START_TEST (the_oldest_make_room) {
	struct feed *feed = feed_new();
	struct client c;
	uint64_t n, left = FEED_HISTORY;
	unsigned int fds = count_fds();
	int log = any_fd();
	const struct msg_event event = { .type = 1 };
	int64_t got;

	for (n = 1; n <= FEED_HISTORY + 10; n++)
		feed_add(feed, n, &event, log, true);
	ck_assert_int_eq(close(log), 0);
	/* A log each is kept, and of no more than there are. */
	ck_assert_uint_eq(count_fds(), fds + FEED_HISTORY);
	client_open(&c, feed);
	ck_assert_int_eq(join(&c, 7000, UINT32_MAX, false), 0);
	for (n = 11; left-- > 0; n++) {
		while ((got = raw_recv(c.f.raw)) == -1)
			fixture_settle(&c.f);
		ck_assert_int_eq(got, (int64_t)n);
	}
	client_close(&c);
	feed_free(feed);
	ck_assert_uint_eq(count_fds(), fds);
}
END_TEST

START_TEST (who_follows_gets_what_comes) {
	struct feed *feed = feed_new();
	struct client a, b;

	tell(feed, 1, true);
	client_open(&a, feed);
	client_open(&b, feed);
	ck_assert_int_eq(join(&a, 7000, 0, true), 0);
	ck_assert_int_eq(join(&b, 7000, 5, true), 0);
	tell(feed, 2, false);
	expect(&a, 2, 2);
	expect(&b, 1, 2);
	/* One that goes is not told any more, the other is. */
	feed_leave(feed, &a);
	tell(feed, 3, true);
	expect(&a, 1, 0);
	expect(&b, 3, 3);
	/* Asking again begins anew, and does not make two of it. */
	ck_assert_int_eq(join(&b, 7000, 1, true), 0);
	tell(feed, 4, true);
	expect(&b, 3, 4);
	client_close(&a);
	client_close(&b);
	feed_free(feed);
}
END_TEST

START_TEST (followers_are_few) {
	struct client clients[FEED_FOLLOWERS_MAX + 1];
	struct feed *feed = feed_new();
	size_t i;

	for (i = 0; i < nitems(clients); i++)
		client_open(&clients[i], feed);
	for (i = 0; i < FEED_FOLLOWERS_MAX; i++)
		ck_assert_int_eq(join(&clients[i], 1, 0, true), 0);
	ck_assert_int_eq(join(&clients[i], 1, 0, true), -EBUSY);
	/* A look at what was is no following. */
	ck_assert_int_eq(join(&clients[i], 1, 10, false), 0);
	feed_leave(feed, &clients[2]);
	ck_assert_int_eq(join(&clients[i], 1, 0, true), 0);
	for (i = 0; i < nitems(clients); i++)
		client_close(&clients[i]);
	feed_free(feed);
}
END_TEST

START_TEST (who_does_not_read_holds_nobody_up) {
	struct feed *feed = feed_new();
	struct client deaf, good;
	int64_t got, last = 0;
	uint64_t n = 0;

	client_open(&deaf, feed);
	client_open(&good, feed);
	ck_assert_int_eq(join(&deaf, 7000, 0, true), 0);
	ck_assert_int_eq(join(&good, 7000, 0, true), 0);
	while (n < 2000) {
		tell(feed, ++n, false);
		ck_assert_int_eq(raw_recv(good.f.raw), (int64_t)n);
	}
	/* What waits for it is bounded. */
	ck_assert_uint_le(imsg_backlog(deaf.f.ch),
	    FEED_BACKLOG_MAX + 2 * (sizeof(struct msg_event) + 64));
	ck_assert_uint_eq(deaf.hung_up, 0);
	/* It asks for more before it has read that: it must read first. */
	ck_assert_int_eq(join(&deaf, 7001, 10, true), -EAGAIN);
	/* It gets all up to there, the reason, and nothing after it. */
	while (last != 7000) {
		got = raw_recv(deaf.f.raw);
		if (got == -1) {
			fixture_settle(&deaf.f);
			continue;
		}
		ck_assert(got == last + 1 || got == 7000);
		last = got;
	}
	tell(feed, ++n, false);
	fixture_settle(&deaf.f);
	ck_assert_int_eq(raw_recv(deaf.f.raw), -1);
	client_close(&deaf);
	client_close(&good);
	feed_free(feed);
}
END_TEST

START_TEST (who_is_gone_is_hung_up_on) {
	struct feed *feed = feed_new();
	struct client c;
	uint64_t n;

	client_open(&c, feed);
	ck_assert_int_eq(join(&c, 7000, 0, true), 0);
	fd_close(&c.f.raw);
	for (n = 1; n < 5; n++)
		tell(feed, n, true);
	ck_assert_uint_le(c.hung_up, 1);
	client_close(&c);
	feed_free(feed);
}
END_TEST

UNIT_MAIN("feed", the_last_events_are_kept, the_oldest_make_room,
    who_follows_gets_what_comes, followers_are_few,
    who_does_not_read_holds_nobody_up, who_is_gone_is_hung_up_on)
