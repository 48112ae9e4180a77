/* SPDX-License-Identifier: ISC */
/*
 * What a channel takes in: the schema, the descriptors, the end.
 */
#include <sys/stat.h>

#include "tests/unit/imsg_fixture.h"

/* ---- what may pass ---- */

static int
check_pong(struct imsg *m, void *ctx)
{
	struct fixture *f = ctx;

	ck_assert_uint_eq(m->type, MSG_WORKER_PONG);
	ck_assert_uint_eq(msg_get_WORKER_PONG(m)->nonce, 0x1122334455667788);
	ck_assert_int_eq(m->fd, -1);
	ck_assert_uint_eq((uintptr_t)m->data % 8, 0);
	return fixture_count(m, f);
}

START_TEST (message_arrives_as_it_was_sent) {
	struct msg_worker_ping pong = { .nonce = 0x1122334455667788 };
	struct imsg_channel *other;
	struct fixture f;

	fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
	f.handlers[MSG_WORKER_PONG] = check_pong;
	ck_assert_int_eq(imsg_open(&other, f.base, f.raw, PROC_VERIFY,
			     PROC_AGENTD, f.handlers, fixture_closed, &f),
	    0);
	f.raw = -1;
	ck_assert_int_eq(msg_send_WORKER_PONG(other, 77, &pong), 0);
	fixture_settle(&f);
	ck_assert_uint_eq(f.handled, 1);
	ck_assert_uint_eq(f.last_id, 77);
	ck_assert_uint_eq(f.closed, 0);
	imsg_free(other);
	fixture_settle(&f);
	ck_assert_uint_eq(f.closed, 1);
	ck_assert_int_eq(f.reason, 0);
	fixture_close(&f);
}
END_TEST

/* Each descriptor must be the one that was sent with this very message. */
static int
check_own_fd(struct imsg *m, void *ctx)
{
	struct stat st;

	if (m->type == MSG_FETCH_DONE && m->id % 3 == 0) {
		ck_assert_int_eq(m->fd, -1);
	} else {
		ck_assert_int_eq(fstat(m->fd, &st), 0);
		ck_assert_uint_eq((uint64_t)st.st_size, m->id);
	}
	return fixture_count(m, ctx);
}

START_TEST (descriptor_comes_with_its_own_message) {
	struct fixture f;
	unsigned int fds, i;
	int fd;

	fixture_open(&f, PROC_AGENTD, PROC_REGISTRY);
	f.handlers[MSG_FETCH_DONE] = check_own_fd;
	fds = count_fds();
	for (i = 1; i <= 9; i++) {
		fd = any_fd();
		ck_assert_int_eq(ftruncate(fd, i), 0);
		/* MAYBE: every third comes without one */
		ck_assert_int_eq(raw_send_type(f.raw, MSG_FETCH_DONE, i, &fd,
				     i % 3 == 0 ? 0 : 1),
		    0);
		(void)close(fd);
	}
	fixture_settle(&f);
	ck_assert_uint_eq(f.handled, 9);
	ck_assert_uint_eq(f.closed, 0);
	/* Nobody took them. */
	ck_assert_uint_eq(count_fds(), fds);
	fixture_close(&f);
}
END_TEST

static int
take_fd(struct imsg *m, void *ctx)
{
	int fd = imsg_take_fd(m);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(imsg_take_fd(m), -1);
	return fixture_count(m, ctx);
}

START_TEST (taken_descriptor_stays_open) {
	struct fixture f;
	unsigned int fds;
	int fd = any_fd();

	fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
	f.handlers[MSG_VERIFY_OBJECT] = take_fd;
	fds = count_fds();
	ck_assert_int_eq(raw_send_type(f.raw, MSG_VERIFY_OBJECT, 1, &fd, 1), 0);
	fixture_settle(&f);
	ck_assert_uint_eq(f.handled, 1);
	ck_assert_uint_eq(count_fds(), fds + 1);
	fixture_close(&f);
}
END_TEST

/* All of msg.def at once: who may say what to whom, nobody else anything. */
START_TEST (direction_is_the_tables) {
	static const int roles = PROC_MAX;
	const struct msg_row *row;
	struct fixture f;
	int self, peer, fd = any_fd();
	uint32_t type;
	bool may;

	for (type = 1; type < MSG_TYPE_MAX; type++) {
		row = msg_row(type);
		for (self = 0; self < roles; self++) {
			for (peer = 0; peer < roles; peer++) {
				may = (row->senders & PROC_BIT(peer)) &&
				    (row->receivers & PROC_BIT(self));
				fixture_open(&f, (enum proc_role)self,
				    (enum proc_role)peer);
				(void)raw_send_type(f.raw, type, 1, &fd,
				    row->fd == MSG_FD_ONE ? 1 : 0);
				fixture_turn(&f);
				ck_assert_uint_eq(f.handled, may);
				ck_assert_uint_eq(f.closed, !may);
				fixture_close(&f);
			}
		}
	}
}
END_TEST

START_TEST (pid_in_the_header_is_no_authority) {
	struct wire_header hdr = {
		.type = MSG_WORKER_READY,
		.len = sizeof(struct msg_worker_ready),
	};
	unsigned char buf[sizeof(hdr) + sizeof(struct msg_worker_ready)] = {
		0
	};
	const uint32_t pids[] = { 0, 1, (uint32_t)getpid(), UINT32_MAX };
	struct fixture f;
	size_t i;

	fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
	for (i = 0; i < nitems(pids); i++) {
		hdr.pid = pids[i];
		memcpy(buf, &hdr, sizeof(hdr));
		ck_assert_int_eq(raw_send(f.raw, buf, sizeof(buf), NULL, 0), 0);
	}
	fixture_settle(&f);
	ck_assert_uint_eq(f.handled, nitems(pids));
	ck_assert_uint_eq(f.closed, 0);
	fixture_close(&f);
}
END_TEST

/* ---- what may not ---- */

/* Send these bytes to a fresh channel of agentd's and see it closed. */
static void
expect_breach(const void *data, size_t len, const int *fds, size_t count,
    const char *words)
{
	struct fixture f;
	unsigned int before;

	fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
	before = count_fds();
	ck_assert_int_eq(raw_send(f.raw, data, len, fds, count), 0);
	/* What follows a breach is not read. */
	(void)raw_send_type(f.raw, MSG_WORKER_PONG, 9, NULL, 0);
	fixture_turn(&f);
	fixture_turn(&f);
	assert_breach(&f, words);
	ck_assert_uint_eq(f.handled, 0);
	ck_assert_uint_eq(count_fds(), before);
	fixture_close(&f);
}

START_TEST (sizes_are_exact) {
	unsigned char buf[sizeof(struct wire_header) + 64] = { 0 };
	struct wire_header hdr = { .type = MSG_WORKER_PONG, .len = 8 };
	size_t len;

	/* The table says 8 bytes of payload: no other length of message... */
	memcpy(buf, &hdr, sizeof(hdr));
	for (len = 1; len <= sizeof(buf); len++)
		if (len != sizeof(hdr) + 8)
			expect_breach(buf, len, NULL, 0,
			    len < sizeof(hdr) ? "shorter than a header"
					      : "wrong size");
	/* ... and no other length in the header. */
	for (hdr.len = 0; hdr.len < 64; hdr.len++) {
		memcpy(buf, &hdr, sizeof(hdr));
		if (hdr.len != 8)
			expect_breach(
			    buf, sizeof(hdr) + 8, NULL, 0, "wrong size");
	}
	hdr.len = UINT32_MAX;
	memcpy(buf, &hdr, sizeof(hdr));
	expect_breach(buf, sizeof(hdr) + 8, NULL, 0, "wrong size");
}
END_TEST

START_TEST (unknown_types_are_refused) {
	const uint32_t types[] = { 0, MSG_TYPE_MAX, MSG_TYPE_MAX + 1,
		0x80000000u, UINT32_MAX };
	unsigned char buf[sizeof(struct wire_header) + 8] = { 0 };
	struct wire_header hdr = { .len = 8 };
	size_t i;

	for (i = 0; i < nitems(types); i++) {
		hdr.type = types[i];
		memcpy(buf, &hdr, sizeof(hdr));
		expect_breach(buf, sizeof(buf), NULL, 0, "unknown");
	}
}
END_TEST

/* To look dead without being dead: a message without a byte. */
START_TEST (empty_message_is_no_end) {
	int fd = any_fd();

	expect_breach("", 0, NULL, 0, "shorter than a header");
	expect_breach("", 0, &fd, 1, "shorter than a header");
	(void)close(fd);
}
END_TEST

/* MSG_TRUNC: the kernel still delivers the descriptor. */
START_TEST (overlong_message_is_refused_and_its_descriptor_closed) {
	static unsigned char buf[64 + IMSG_MAX_PAYLOAD * 2];
	struct wire_header hdr = {
		.type = MSG_VERIFY_OBJECT,
		.len = sizeof(struct msg_verify_object),
	};
	int fd = any_fd();

	memcpy(buf, &hdr, sizeof(hdr));
	expect_breach(buf, sizeof(buf), &fd, 1, "longer than any message");
	expect_breach(buf, sizeof(buf), NULL, 0, "longer than any message");
	(void)close(fd);
}
END_TEST

START_TEST (surplus_descriptors_are_refused_and_closed) {
	int fd[4] = { any_fd(), any_fd(), any_fd(), any_fd() };
	size_t n, i;
	struct fixture f;
	unsigned int before;

	for (n = 1; n <= 4; n++) {
		fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
		before = count_fds();
		/* one where there is to be none, two or more for one */
		ck_assert_int_eq(
		    raw_send_type(f.raw,
			n == 1 ? MSG_WORKER_PONG : MSG_VERIFY_OBJECT, 1, fd, n),
		    0);
		fixture_settle(&f);
		assert_breach(&f, "descriptor");
		ck_assert_uint_eq(f.handled, 0);
		ck_assert_uint_eq(count_fds(), before);
		fixture_close(&f);
	}
	for (i = 0; i < nitems(fd); i++)
		(void)close(fd[i]);
}
END_TEST

START_TEST (missing_descriptor_is_refused) {
	struct fixture f;

	fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
	ck_assert_int_eq(
	    raw_send_type(f.raw, MSG_VERIFY_OBJECT, 1, NULL, 0), 0);
	fixture_settle(&f);
	assert_breach(&f, "descriptor missing");
	fixture_close(&f);
}
END_TEST

/* MSG_CTRUNC: there was one, and the table had no place for it. */
START_TEST (descriptor_lost_to_a_full_table_ends_the_channel) {
	struct rlimit old, none;
	struct fixture f;
	int fd = any_fd();

	fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
	ck_assert_int_eq(raw_send_type(f.raw, MSG_VERIFY_OBJECT, 1, &fd, 1), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0; /* no descriptor can be made from here on */
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	fixture_turn(&f);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_breach(&f, "descriptor was lost");
	ck_assert_uint_eq(f.handled, 0);
	fixture_close(&f);
}
END_TEST

START_TEST (message_without_handler_is_refused) {
	struct fixture f;
	unsigned int before;
	int fd = any_fd();

	fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
	f.handlers[MSG_VERIFY_OBJECT] = NULL;
	before = count_fds();
	ck_assert_int_eq(raw_send_type(f.raw, MSG_VERIFY_OBJECT, 1, &fd, 1), 0);
	fixture_settle(&f);
	assert_breach(&f, "not expected here");
	ck_assert_uint_eq(count_fds(), before);
	fixture_close(&f);
}
END_TEST

static int
refuse(struct imsg *m, void *ctx)
{
	(void)fixture_count(m, ctx);
	return -ERANGE;
}

START_TEST (handlers_error_ends_the_channel) {
	struct fixture f;
	unsigned int before;
	int fd = any_fd();

	fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
	f.handlers[MSG_VERIFY_OBJECT] = refuse;
	before = count_fds();
	ck_assert_int_eq(raw_send_type(f.raw, MSG_VERIFY_OBJECT, 1, &fd, 1), 0);
	ck_assert_int_eq(raw_send_type(f.raw, MSG_VERIFY_OBJECT, 2, &fd, 1), 0);
	fixture_settle(&f);
	assert_breach(&f, "bad value");
	ck_assert_uint_eq(f.handled, 1);
	ck_assert_uint_eq(count_fds(), before);
	fixture_close(&f);
}
END_TEST

/* ---- the end ---- */

/*
 * A peer that closes with our input unread: the kernel says ECONNRESET
 * before it gives what the peer had said.
 */
START_TEST (reset_comes_before_the_last_words) {
	struct msg_worker_ping ping = { .nonce = 1 };
	int sv[2], round;
	struct fixture f;
	char c;

	/* The trap is there: otherwise this test shows nothing. */
	ck_assert_int_eq(imsg_socketpair(sv), 0);
	ck_assert_int_eq(raw_send(sv[0], "x", 1, NULL, 0), 0);
	ck_assert_int_eq(raw_send(sv[1], "y", 1, NULL, 0), 0);
	(void)close(sv[1]);
	ck_assert_int_eq(recv(sv[0], &c, 1, 0), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	ck_assert_int_eq(recv(sv[0], &c, 1, 0), 1);
	(void)close(sv[0]);

	for (round = 0; round < 2; round++) {
		fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
		ck_assert_int_eq(msg_send_WORKER_PING(f.ch, 1, &ping), 0);
		ck_assert_int_eq(
		    raw_send_type(f.raw, MSG_WORKER_PONG, 1, NULL, 0), 0);
		ck_assert_int_eq(
		    raw_send_type(f.raw, MSG_WORKER_PONG, 2, NULL, 0), 0);
		fd_close(&f.raw);
		/* By the event loop, and by a drain before it. */
		if (round == 0)
			fixture_settle(&f);
		else
			imsg_drain(f.ch);
		ck_assert_uint_eq(f.handled, 2);
		ck_assert_uint_eq(f.last_id, 2);
		ck_assert_uint_eq(f.closed, 1);
		ck_assert_int_eq(f.reason, 0);
		fixture_close(&f);
	}
}
END_TEST

START_TEST (all_is_read_before_the_end) {
	struct fixture f;
	uint64_t n = 0;

	fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
	while (raw_send_type(f.raw, MSG_WORKER_PONG, n + 1, NULL, 0) == 0)
		n++;
	ck_assert_uint_gt(n, 5);
	fd_close(&f.raw);
	fixture_settle(&f);
	ck_assert_uint_eq(f.handled, n);
	ck_assert_uint_eq(f.last_id, n);
	ck_assert_uint_eq(f.closed, 1);
	ck_assert_int_eq(f.reason, 0);
	fixture_close(&f);
}
END_TEST

/* SIGCHLD may beat the child's last message. */
START_TEST (drain_hears_the_dead_out) {
	struct fixture f;

	fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
	ck_assert_int_eq(raw_send_type(f.raw, MSG_WORKER_PONG, 5, NULL, 0), 0);
	imsg_drain(f.ch);
	ck_assert_uint_eq(f.handled, 1);
	ck_assert_uint_eq(f.closed, 0); /* alive: waits for nothing */
	ck_assert_int_eq(raw_send_type(f.raw, MSG_WORKER_PONG, 6, NULL, 0), 0);
	fd_close(&f.raw);
	imsg_drain(f.ch);
	ck_assert_uint_eq(f.last_id, 6);
	ck_assert_uint_eq(f.closed, 1);
	imsg_drain(f.ch); /* once is enough */
	fixture_settle(&f);
	ck_assert_uint_eq(f.closed, 1);
	fixture_close(&f);
}
END_TEST

/* ---- freed from inside ---- */

static int
free_in_handler(struct imsg *m, void *ctx)
{
	struct fixture *f = ctx;

	(void)fixture_count(m, f);
	imsg_free(f->ch);
	f->ch = NULL;
	/* The message outlives the call, whatever the return says. */
	ck_assert_uint_eq(m->id, f->last_id);
	return m->id == 2 ? -EINVAL : 0;
}

START_TEST (channel_may_be_freed_in_a_handler) {
	struct fixture f;
	unsigned int before = count_fds();
	uint64_t id;
	int fd, drain;

	for (id = 1; id <= 2; id++) {
		for (drain = 0; drain < 2; drain++) {
			fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
			f.handlers[MSG_VERIFY_OBJECT] = free_in_handler;
			fd = any_fd();
			ck_assert_int_eq(
			    raw_send_type(f.raw, MSG_VERIFY_OBJECT, id, &fd, 1),
			    0);
			ck_assert_int_eq(
			    raw_send_type(f.raw, MSG_VERIFY_OBJECT, 9, &fd, 1),
			    0);
			(void)close(fd);
			if (drain)
				imsg_drain(f.ch);
			else
				fixture_settle(&f);
			ck_assert_uint_eq(f.handled, 1);
			/* Who frees it knows that it is over. */
			ck_assert_uint_eq(f.closed, 0);
			fixture_close(&f);
		}
	}
	ck_assert_uint_eq(count_fds(), before);
}
END_TEST

static void
free_in_closed(int reason, const char *text, void *ctx)
{
	struct fixture *f = ctx;

	fixture_closed(reason, text, f);
	imsg_free(f->ch);
	f->ch = NULL;
}

START_TEST (channel_may_be_freed_when_told_of_its_end) {
	struct fixture f;
	unsigned int before = count_fds();
	int sv[2], how;

	for (how = 0; how < 4; how++) {
		fixture_open(&f, PROC_AGENTD, PROC_VERIFY);
		imsg_free(f.ch);
		fd_close(&f.raw);
		ck_assert_int_eq(imsg_socketpair(sv), 0);
		f.raw = sv[1];
		ck_assert_int_eq(
		    imsg_open(&f.ch, f.base, sv[0], PROC_AGENTD, PROC_VERIFY,
			f.handlers, free_in_closed, &f),
		    0);
		f.handlers[MSG_WORKER_PONG] = refuse;
		if (how & 1)
			(void)raw_send_type(f.raw, MSG_WORKER_PONG, 1, NULL, 0);
		fd_close(&f.raw);
		if (how & 2)
			imsg_drain(f.ch);
		else
			fixture_settle(&f);
		ck_assert_uint_eq(f.closed, 1);
		ck_assert_ptr_null(f.ch);
		fixture_close(&f);
	}
	ck_assert_uint_eq(count_fds(), before);
}
END_TEST

START_TEST (free_ignores_null) {
	imsg_free(NULL);
}
END_TEST

UNIT_MAIN("imsg", message_arrives_as_it_was_sent,
    descriptor_comes_with_its_own_message, taken_descriptor_stays_open,
    direction_is_the_tables, pid_in_the_header_is_no_authority, sizes_are_exact,
    unknown_types_are_refused, empty_message_is_no_end,
    overlong_message_is_refused_and_its_descriptor_closed,
    surplus_descriptors_are_refused_and_closed, missing_descriptor_is_refused,
    descriptor_lost_to_a_full_table_ends_the_channel,
    message_without_handler_is_refused, handlers_error_ends_the_channel,
    reset_comes_before_the_last_words, all_is_read_before_the_end,
    drain_hears_the_dead_out, channel_may_be_freed_in_a_handler,
    channel_may_be_freed_when_told_of_its_end, free_ignores_null)
