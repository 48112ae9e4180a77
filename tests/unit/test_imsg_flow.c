/* SPDX-License-Identifier: ISC */
/*
 * How a channel sends: slow peers, dead peers, descriptors in flight; and
 * that it reads in bounded portions.
 */
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <time.h>

#include "common/clock.h"
#include "tests/unit/imsg_fixture.h"

static void
set_nofile(rlim_t soft)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = soft;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static int
send_ping(struct fixture *f, uint64_t id)
{
	struct msg_worker_ping ping = { .nonce = id };

	return msg_send_WORKER_PING(f->ch, id, &ping);
}

/* Send until the kernel takes no more and the channel has to queue. */
static uint64_t
fill_kernel(struct fixture *f)
{
	uint64_t n = 0;

	while (imsg_backlog(f->ch) == 0)
		ck_assert_int_eq(send_ping(f, ++n), 0);
	return n;
}

START_TEST (slow_peer_gets_everything_in_order) {
	struct fixture f;
	uint64_t sent, got = 0;
	int64_t id;
	int quiet = 0;

	fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
	sent = fill_kernel(&f);
	while (sent < 500)
		ck_assert_int_eq(send_ping(&f, ++sent), 0);
	while (quiet < 3) {
		id = raw_recv(f.raw);
		if (id == -1) {
			quiet++;
			fixture_settle(&f);
			continue;
		}
		quiet = 0;
		ck_assert_uint_eq((uint64_t)id, ++got);
		/* New ones must not overtake those that wait. */
		if (got == 100)
			ck_assert_int_eq(send_ping(&f, ++sent), 0);
	}
	ck_assert_uint_eq(got, sent);
	ck_assert_uint_eq(imsg_backlog(f.ch), 0);
	fixture_close(&f);
}
END_TEST

START_TEST (backlog_ends_at_the_high_water_mark) {
	static const struct msg_event event;
	struct fixture f;
	unsigned int fds;
	uint64_t n = 0, got = 0;
	int r, quiet = 0;

	fixture_open(&f, PROC_AGENTD, PROC_TELEM);
	fds = count_fds();
	while ((r = msg_send_EVENT(f.ch, n + 1, &event, -1)) == 0)
		n++;
	ck_assert_int_eq(r, -ENOBUFS);
	ck_assert_uint_le(imsg_backlog(f.ch), IMSG_HIGH_WATER);
	ck_assert_uint_gt(
	    imsg_backlog(f.ch), IMSG_HIGH_WATER - 2 * IMSG_MAX_PAYLOAD);
	/* The descriptor is gone although the message did not go. */
	ck_assert_int_eq(
	    msg_send_EVENT(f.ch, n + 1, &event, any_fd()), -ENOBUFS);
	ck_assert_uint_eq(count_fds(), fds);
	/* All that was accepted arrives; the channel works on. */
	while (quiet < 3) {
		if (raw_recv(f.raw) == -1) {
			quiet++;
			fixture_settle(&f);
		} else {
			got++;
			quiet = 0;
		}
	}
	ck_assert_uint_eq(got, n);
	ck_assert_int_eq(msg_send_EVENT(f.ch, n + 1, &event, -1), 0);
	ck_assert_uint_eq(f.closed, 0);
	fixture_close(&f);
}
END_TEST

START_TEST (what_is_not_read_is_known) {
	static const struct msg_verify_artifact artifact;
	struct fixture f;

	fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
	ck_assert(!imsg_has_unread(f.ch));
	ck_assert_int_eq(
	    msg_send_VERIFY_ARTIFACT(f.ch, 1, &artifact, any_fd()), 0);
	/* In the kernel, not with us. */
	ck_assert_uint_eq(imsg_backlog(f.ch), 0);
	ck_assert(imsg_has_unread(f.ch));
	ck_assert_int_eq(raw_recv(f.raw), 1);
	ck_assert(!imsg_has_unread(f.ch));
	fixture_close(&f);
}
END_TEST

START_TEST (queued_descriptors_are_closed_with_the_channel) {
	static const struct msg_verify_artifact artifact;
	struct fixture f;
	unsigned int before = count_fds();
	int i;

	fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
	(void)fill_kernel(&f);
	for (i = 0; i < 50; i++)
		ck_assert_int_eq(
		    msg_send_VERIFY_ARTIFACT(f.ch, 1, &artifact, any_fd()), 0);
	fixture_close(&f);
	ck_assert_uint_eq(count_fds(), before);
}
END_TEST

/*
 * ETOOMANYREFS: descriptors in flight count per uid, against RLIMIT_NOFILE,
 * for processes without privilege.
 */
START_TEST (too_many_in_flight_waits_for_the_drain) {
	static const struct msg_verify_artifact artifact;
	enum { COUNT = 8, LIMIT = 3 };
	int fds[COUNT], spare, i, errors = 0;
	struct fixture f;
	int64_t id;

	if (geteuid() == 0) {
		ck_assert_int_eq(setgroups(0, NULL), 0);
		ck_assert_int_eq(setresgid(64999, 64999, 64999), 0);
		ck_assert_int_eq(setresuid(64999, 64999, 64999), 0);
	}
	fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
	for (i = 0; i < COUNT; i++)
		fds[i] = any_fd();
	spare = any_fd();
	set_nofile(LIMIT);
	/* None may fail, and not all can go. */
	for (i = 0; i < COUNT; i++)
		ck_assert_int_eq(msg_send_VERIFY_ARTIFACT(
				     f.ch, (uint64_t)i + 1, &artifact, fds[i]),
		    0);
	ck_assert_uint_gt(imsg_backlog(f.ch), 0);
	/* The trap is there. */
	ck_assert_int_eq(raw_send_type(f.raw, MSG_VERIFY_OBJECT, 1, &spare, 1),
	    ETOOMANYREFS);
	/* Not drained yet: retried, not lost, not an error. */
	fixture_settle(&f);
	ck_assert_uint_gt(imsg_backlog(f.ch), 0);
	for (i = 0; i < COUNT && errors < 20;) {
		set_nofile(256); /* the receiver's own table is large */
		id = raw_recv(f.raw);
		set_nofile(LIMIT);
		if (id == -1) {
			errors++;
			fixture_settle(&f);
			continue;
		}
		ck_assert_int_eq(id, ++i);
	}
	ck_assert_int_eq(i, COUNT);
	ck_assert_uint_eq(imsg_backlog(f.ch), 0);
	ck_assert_uint_eq(f.closed, 0);
	set_nofile(256);
	(void)close(spare);
	fixture_close(&f);
}
END_TEST

/* ---- a peer that is gone ---- */

START_TEST (sending_to_the_dead_is_epipe) {
	static const struct msg_verify_artifact artifact;
	struct fixture f;
	unsigned int fds;
	int unread;

	for (unread = 0; unread < 2; unread++) {
		fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
		/* With input of ours unread the kernel says ECONNRESET
		 * first: to the sender, too. */
		if (unread)
			ck_assert_int_eq(send_ping(&f, 1), 0);
		fd_close(&f.raw);
		fds = count_fds();
		ck_assert_int_eq(
		    msg_send_VERIFY_ARTIFACT(f.ch, 1, &artifact, any_fd()),
		    -EPIPE);
		ck_assert_uint_eq(count_fds(), fds);
		/* The end is told by the reading side, once. */
		ck_assert_uint_eq(f.closed, 0);
		fixture_settle(&f);
		ck_assert_uint_eq(f.closed, 1);
		ck_assert_int_eq(f.reason, 0);
		ck_assert_int_eq(
		    msg_send_VERIFY_ARTIFACT(f.ch, 1, &artifact, any_fd()),
		    -EPIPE);
		ck_assert_uint_eq(count_fds(), fds);
		fixture_close(&f);
	}
	ck_assert_int_eq(imsg_send(NULL, MSG_VERIFY_ARTIFACT, 1, &artifact,
			     sizeof(artifact), any_fd()),
	    -EPIPE);
}
END_TEST

START_TEST (backlog_for_the_dead_is_dropped) {
	struct fixture f;

	fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
	(void)fill_kernel(&f);
	ck_assert_int_eq(send_ping(&f, 1), 0);
	fd_close(&f.raw);
	fixture_settle(&f);
	ck_assert_uint_eq(f.closed, 1);
	ck_assert_int_eq(f.reason, 0);
	ck_assert_int_eq(imsg_flush(f.ch, 100), -EPIPE);
	fixture_close(&f);
}
END_TEST

/* ---- the last words of a process ---- */

static void *
read_slowly(void *arg)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	struct fixture *f = arg;
	uintptr_t n = 0;

	(void)nanosleep(&pause, NULL);
	while (n < 100)
		if (raw_recv(f->raw) != -1)
			n++;
		else
			(void)nanosleep(&pause, NULL);
	return NULL;
}

START_TEST (flush_waits_for_a_slow_peer) {
	pthread_t thread;
	struct fixture f;
	uint64_t n;

	fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
	for (n = fill_kernel(&f); n < 100; n++)
		ck_assert_int_eq(send_ping(&f, n), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, read_slowly, &f), 0);
	ck_assert_int_eq(imsg_flush(f.ch, 50000), 0);
	ck_assert_uint_eq(imsg_backlog(f.ch), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	fixture_close(&f);
}
END_TEST

START_TEST (flush_does_not_wait_for_ever) {
	int64_t start = clock_boot_ns(), ms;
	struct fixture f;

	fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
	ck_assert_int_eq(imsg_flush(f.ch, 1000), 0); /* nothing to do */
	(void)fill_kernel(&f);
	ck_assert_int_eq(imsg_flush(f.ch, 50), -ETIMEDOUT);
	ms = (clock_boot_ns() - start) / NSEC_PER_MSEC;
	ck_assert_int_ge(ms, 45);
	fd_close(&f.raw);
	ck_assert_int_eq(imsg_flush(f.ch, 50), -EPIPE);
	fixture_close(&f);
}
END_TEST

/* ---- one busy peer among others ---- */

/* Each message makes the peer send another: it is never idle. */
static int
provoke(struct imsg *m, void *ctx)
{
	struct fixture *f = ctx;

	(void)fixture_count(m, f);
	ck_assert_int_eq(
	    raw_send_type(f->raw, MSG_WORKER_PONG, m->id + 1, NULL, 0), 0);
	return 0;
}

START_TEST (reads_are_bounded) {
	unsigned int before, most = 0;
	struct fixture f;

	fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
	f.handlers[MSG_WORKER_PONG] = provoke;
	ck_assert_int_eq(raw_send_type(f.raw, MSG_WORKER_PONG, 1, NULL, 0), 0);
	/* A turn in which we lose the processor ends by its time, after one. */
	while (f.handled <= 64 || most == 1) {
		before = f.handled;
		fixture_turn(&f);
		if (f.handled - before > most)
			most = f.handled - before;
		ck_assert_uint_le(most, 64);
	}
	fixture_close(&f);
}
END_TEST

static int
take_long(struct imsg *m, void *ctx)
{
	const struct timespec long_enough = { .tv_nsec = 6000000 };

	(void)nanosleep(&long_enough, NULL);
	return fixture_count(m, ctx);
}

/* What takes long is one of its kind, and then others have their turn. */
START_TEST (reads_are_bounded_in_time) {
	struct fixture f;
	unsigned int i;

	fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
	f.handlers[MSG_WORKER_PONG] = take_long;
	for (i = 1; i <= 3; i++)
		ck_assert_int_eq(
		    raw_send_type(f.raw, MSG_WORKER_PONG, i, NULL, 0), 0);
	for (i = 1; i <= 3; i++) {
		fixture_turn(&f);
		ck_assert_uint_eq(f.handled, i);
	}
	fixture_close(&f);
}
END_TEST

START_TEST (sockets_are_what_channels_want) {
	int sv[2], type, i;
	socklen_t len = sizeof(type);

	ck_assert_int_eq(imsg_socketpair(sv), 0);
	for (i = 0; i < 2; i++) {
		ck_assert_int_eq(
		    getsockopt(sv[i], SOL_SOCKET, SO_TYPE, &type, &len), 0);
		ck_assert_int_eq(type, SOCK_SEQPACKET);
		ck_assert_int_eq(fcntl(sv[i], F_GETFD), FD_CLOEXEC);
		ck_assert_int_ne(fcntl(sv[i], F_GETFL) & O_NONBLOCK, 0);
		(void)close(sv[i]);
	}
}
END_TEST

static int
check_cloexec(struct imsg *m, void *ctx)
{
	ck_assert_int_eq(fcntl(m->fd, F_GETFD), FD_CLOEXEC);
	return fixture_count(m, ctx);
}

START_TEST (received_descriptors_are_cloexec) {
	struct fixture f;
	int fd = any_fd();

	ck_assert_int_eq(fcntl(fd, F_SETFD, 0), 0);
	fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
	f.handlers[MSG_VERIFY_OBJECT] = check_cloexec;
	ck_assert_int_eq(raw_send_type(f.raw, MSG_VERIFY_OBJECT, 1, &fd, 1), 0);
	fixture_settle(&f);
	ck_assert_uint_eq(f.handled, 1);
	fixture_close(&f);
	(void)close(fd);
}
END_TEST

UNIT_MAIN("imsg_flow", slow_peer_gets_everything_in_order,
    backlog_ends_at_the_high_water_mark, what_is_not_read_is_known,
    queued_descriptors_are_closed_with_the_channel,
    too_many_in_flight_waits_for_the_drain, sending_to_the_dead_is_epipe,
    backlog_for_the_dead_is_dropped, flush_waits_for_a_slow_peer,
    flush_does_not_wait_for_ever, reads_are_bounded, reads_are_bounded_in_time,
    sockets_are_what_channels_want, received_descriptors_are_cloexec)
