/* SPDX-License-Identifier: ISC */
/*
 * A channel under test and, at its other end, a bare socket that may say
 * anything.
 */
#ifndef TESTS_UNIT_IMSG_FIXTURE_H
#define TESTS_UNIT_IMSG_FIXTURE_H

#include <dirent.h>
#include <event2/event.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "common/memfd.h"
#include "common/msg.h"
#include "tests/unit/unit.h"

/* What goes over the wire before the payload; imsg.c's own. */
struct wire_header {
	uint32_t type;
	uint32_t len;
	uint64_t id;
	uint32_t pid;
	uint32_t reserved;
};

struct fixture {
	struct event_base *base;
	struct imsg_channel *ch;
	int raw; /* the other end */
	imsg_handler handlers[MSG_TYPE_MAX];
	/* what happened */
	unsigned int handled;
	uint64_t last_id;
	unsigned int closed;
	int reason;
	char text[256];
};

static inline int
fixture_count(struct imsg *m, void *ctx)
{
	struct fixture *f = ctx;

	f->handled++;
	f->last_id = m->id;
	return 0;
}

static inline void
fixture_closed(int reason, const char *text, void *ctx)
{
	struct fixture *f = ctx;

	f->closed++;
	f->reason = reason;
	str_copy_cut(f->text, sizeof(f->text), text);
}

/* A channel of SELF whose peer should be PEER; every type is expected. */
static inline void
fixture_open(struct fixture *f, enum proc_role self, enum proc_role peer)
{
	int sv[2];
	size_t i;

	memset(f, 0, sizeof(*f));
	f->base = event_base_new();
	ck_assert_ptr_nonnull(f->base);
	ck_assert_int_eq(imsg_socketpair(sv), 0);
	for (i = 1; i < MSG_TYPE_MAX; i++)
		f->handlers[i] = fixture_count;
	ck_assert_int_eq(imsg_open(&f->ch, f->base, sv[0], self, peer,
			     f->handlers, fixture_closed, f),
	    0);
	f->raw = sv[1];
}

static inline void
fixture_close(struct fixture *f)
{
	imsg_free(f->ch);
	fd_close(&f->raw);
	event_base_free(f->base);
}

/* Run what is ready now, once. */
static inline void
fixture_turn(struct fixture *f)
{
	(void)event_base_loop(f->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

struct settling {
	struct event_base *base;
	unsigned int left;
};

static inline void
fixture_tick(evutil_socket_t fd, short what, void *arg)
{
	struct settling *s = arg;

	if (--s->left == 0)
		(void)event_base_loopexit(s->base, NULL);
}

/*
 * Run until nothing happens any more; longer than imsg's retry.  In turns of
 * the loop, too: who loses the processor for that long has not had them.
 */
static inline void
fixture_settle(struct fixture *f)
{
	const struct timeval moment = { .tv_usec = 1000 };
	struct settling s = { f->base, 20 };
	struct event *tick;

	tick = event_new(f->base, -1, EV_PERSIST, fixture_tick, &s);
	ck_assert_ptr_nonnull(tick);
	ck_assert_int_eq(event_add(tick, &moment), 0);
	(void)event_base_dispatch(f->base);
	event_free(tick);
}

static inline unsigned int
count_fds(void)
{
	struct dirent *entry;
	unsigned int n = 0;
	DIR *dir = opendir("/proc/self/fd");

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)) != NULL)
		n += entry->d_name[0] != '.';
	(void)closedir(dir);
	return n;
}

/* Send bytes with FD_COUNT descriptors; errno or 0. */
static inline int
raw_send(int sock, const void *data, size_t len, const int *fds, size_t count)
{
	union {
		char buf[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (count > 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == -1 ? errno
								      : 0;
}

/* A message as the table wants it, with zeros as its payload. */
static inline int
raw_send_type(
    int sock, uint32_t type, uint64_t id, const int *fds, size_t count)
{
	static unsigned char buf[sizeof(struct wire_header) + IMSG_MAX_PAYLOAD];
	const struct msg_row *row = msg_row(type);
	struct wire_header hdr = { .type = type, .id = id, .pid = 1 };

	hdr.len = row != NULL ? row->size : 8;
	memset(buf, 0, sizeof(buf));
	memcpy(buf, &hdr, sizeof(hdr));
	return raw_send(sock, buf, sizeof(hdr) + hdr.len, fds, count);
}

/* Read one message; its id, or -1.  Descriptors are closed. */
static inline int64_t
raw_recv(int sock)
{
	static unsigned char buf[sizeof(struct wire_header) + IMSG_MAX_PAYLOAD];
	union {
		char buf[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct wire_header hdr;
	struct cmsghdr *c;
	int fd;

	if (recvmsg(sock, &msg, MSG_DONTWAIT) < (ssize_t)sizeof(hdr))
		return -1;
	for (c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
		(void)close(fd);
	}
	memcpy(&hdr, buf, sizeof(hdr));
	return (int64_t)hdr.id;
}

static inline int
any_fd(void)
{
	int fd = memfd_create_buffer("test");

	ck_assert_int_ge(fd, 0);
	return fd;
}

/* The channel was closed for a breach, and TEXT says how. */
#define assert_breach(f, words)                                                \
	do {                                                                   \
		ck_assert_uint_eq((f)->closed, 1);                             \
		ck_assert_int_eq((f)->reason, -EPROTO);                        \
		ck_assert_msg(strstr((f)->text, words) != NULL,                \
		    "'%s' does not say '%s'", (f)->text, words);               \
	} while (0)

#endif
