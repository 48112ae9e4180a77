/* SPDX-License-Identifier: ISC */
#include "apid/crowd.h"

#include <event2/event.h>
#include <arpa/inet.h>
#include <sys/syscall.h>

#include "tests/unit/unit.h"

static struct crowd_member members[1024];

/* COUNT of them, the first SLOW for 100 ms and more, the others served now. */
static size_t
choose(size_t count, size_t slow)
{
	size_t i;

	for (i = 0; i < count; i++)
		members[i] = (struct crowd_member){
			.fd = (int)i,
			.idle_ms = i < slow ? 100 + (uint32_t)i : 10,
		};
	return crowd_choose(members, count);
}

START_TEST (nobody_is_ended_while_there_is_room) {
	ck_assert_uint_eq(choose(0, 0), 0);
	ck_assert_uint_eq(choose(CROWD_MAX, CROWD_MAX), 0);
}
END_TEST

START_TEST (the_idlest_make_room) {
	size_t i;

	ck_assert_uint_eq(choose(CROWD_MAX + 30, CROWD_MAX), 30);
	for (i = 0; i < 30; i++)
		ck_assert_uint_eq(members[i].idle_ms, 100 + CROWD_MAX - 1 - i);
}
END_TEST

START_TEST (who_was_just_served_is_let_be) {
	ck_assert_uint_eq(choose(CROWD_MAX + 30, 0), 0);
	ck_assert_uint_eq(choose(CROWD_MAX + 30, 7), 7);
	ck_assert_uint_eq(members[0].fd, 6);
	ck_assert_uint_eq(members[6].fd, 0);
}
END_TEST

START_TEST (who_waits_for_us_has_time) {
	size_t i;

	(void)choose(CROWD_MAX + 30, CROWD_MAX);
	for (i = 0; i < CROWD_MAX + 30; i++)
		members[i].unread = true;
	ck_assert_uint_eq(crowd_choose(members, CROWD_MAX + 30), 0);
	members[3].idle_ms = CROWD_UNREAD_MS;
	members[5] = (struct crowd_member){ .fd = 1000, .idle_ms = 60 };
	ck_assert_uint_eq(crowd_choose(members, CROWD_MAX + 30), 2);
	ck_assert_uint_eq(members[0].idle_ms, CROWD_UNREAD_MS);
	ck_assert_int_eq(members[1].fd, 1000);
}
END_TEST

/* Connections of this process to itself, of which it has both ends. */
static struct tcp {
	struct sockaddr_in addr;
	int listener;
	int fds[CROWD_MAX + 64];
	size_t count;
} tcp;

static void
listen_here(void)
{
	socklen_t len = sizeof(tcp.addr);

	tcp.count = 0;
	tcp.addr = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	tcp.listener = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_ne(tcp.listener, -1);
	ck_assert_int_eq(
	    bind(tcp.listener, (struct sockaddr *)&tcp.addr, len), 0);
	ck_assert_int_eq(
	    getsockname(tcp.listener, (struct sockaddr *)&tcp.addr, &len), 0);
	ck_assert_int_eq(listen(tcp.listener, CROWD_MAX), 0);
}

/* N ends more of connections of this process to itself. */
static void
connect_here(size_t n)
{
	for (; n > 0; n -= 2) {
		int *fd = &tcp.fds[tcp.count];

		fd[0] = socket(AF_INET, SOCK_STREAM, 0);
		ck_assert_int_eq(connect(fd[0], (struct sockaddr *)&tcp.addr,
				     sizeof(tcp.addr)),
		    0);
		fd[1] = accept(tcp.listener, NULL, NULL);
		ck_assert_int_ne(fd[1], -1);
		tcp.count += 2;
	}
}

static size_t
count_ended(void)
{
	size_t i, n = 0;
	char byte;

	for (i = 0; i < tcp.count; i++)
		if (recv(tcp.fds[i], &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
			n++;
	return n;
}

static void (*while_it_counts)(void);

/* The crowd's own; the last descriptor that it asks about is the highest. */
int
getsockopt(
    int fd, int level, int name, void *restrict value, socklen_t *restrict len)
{
	void (*now)(void) = while_it_counts;

	if (now != NULL && fd == 1023) {
		while_it_counts = NULL;
		now();
	}
	return (int)syscall(SYS_getsockopt, fd, level, name, value, len);
}

static struct crowd *crowd;

static void
more_come(void)
{
	connect_here(CROWD_MAX + 20 - tcp.count);
	crowd_note(crowd);
}

START_TEST (who_comes_during_the_count_is_seen) {
	const struct timeval limit = { .tv_sec = 50 };
	struct event_base *base = event_base_new();

	listen_here();
	ck_assert_int_eq(crowd_open(&crowd, base), 0);
	connect_here(CROWD_MAX - 20);
	while_it_counts = more_come;
	crowd_note(crowd);
	ck_assert_int_eq(event_base_loopexit(base, &limit), 0);
	while (count_ended() < 20) {
		ck_assert(!event_base_got_exit(base));
		ck_assert_int_eq(event_base_loop(base, EVLOOP_ONCE), 0);
	}
	ck_assert_ptr_null(while_it_counts);
	crowd_close(crowd);
	event_base_free(base);
}
END_TEST

UNIT_MAIN("crowd", nobody_is_ended_while_there_is_room, the_idlest_make_room,
    who_was_just_served_is_let_be, who_waits_for_us_has_time,
    who_comes_during_the_count_is_seen)
