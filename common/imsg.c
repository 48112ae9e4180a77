/* SPDX-License-Identifier: ISC */
/*
 * imsg over SOCK_SEQPACKET: see imsg.h for what a channel promises.
 */
#include "common/imsg.h"

#include <event2/event.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/msg.h"

/*
 * Bounded work a wake-up, so that one busy peer does not starve the rest: so
 * many messages, and none after so long.
 */
#define READS_PER_WAKEUP   64
#define READ_NS_PER_WAKEUP (5 * NSEC_PER_MSEC)

/* In-flight descriptors are counted per uid: wait, then try again. */
#define RETRY_USEC 5000

struct imsg_header {
	uint32_t type;
	uint32_t len;
	uint64_t id;
	uint32_t pid; /* information, never authority */
	uint32_t reserved;
};

struct imsg_out {
	TAILQ_ENTRY(imsg_out) entry;
	struct imsg_header hdr;
	int fd;
	unsigned char data[];
};

struct imsg_channel {
	int fd;
	uint32_t pid; /* ours: for headers */
	enum proc_role self;
	enum proc_role peer;
	const imsg_handler *handlers;
	imsg_closed closed;
	void *ctx;
	struct event *read_event;
	struct event *write_event;
	struct event *retry_event;
	TAILQ_HEAD(, imsg_out) queue;
	size_t backlog;
	bool finished; /* closed() was called or is due */
	bool in_callback;
	bool freed; /* imsg_free() came from inside a callback */
};

int
imsg_socketpair(int sv[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC,
		0, sv) == -1)
		return -errno;
	return 0;
}

static void
out_free(struct imsg_channel *ch, struct imsg_out *out)
{
	TAILQ_REMOVE(&ch->queue, out, entry);
	ch->backlog -= sizeof(*out) + out->hdr.len;
	fd_close(&out->fd);
	free(out);
}

static void
channel_release(struct imsg_channel *ch)
{
	struct imsg_out *out;

	while ((out = TAILQ_FIRST(&ch->queue)) != NULL)
		out_free(ch, out);
	if (ch->read_event != NULL)
		event_free(ch->read_event);
	if (ch->write_event != NULL)
		event_free(ch->write_event);
	if (ch->retry_event != NULL)
		event_free(ch->retry_event);
	fd_close(&ch->fd);
	free(ch);
}

void
imsg_free(struct imsg_channel *ch)
{
	if (ch == NULL)
		return;
	ch->finished = true;
	if (ch->in_callback)
		ch->freed = true;
	else
		channel_release(ch);
}

/* Say once that the channel is over; nothing is read or sent after it. */
_printf_(3, 4) static void channel_finish(
    struct imsg_channel *ch, int reason, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	bool nested = ch->in_callback;

	if (ch->finished)
		return;
	ch->finished = true;
	(void)event_del(ch->read_event);
	(void)event_del(ch->write_event);
	(void)event_del(ch->retry_event);
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ch->in_callback = true;
	ch->closed(reason, text, ch->ctx);
	ch->in_callback = nested;
}

/*
 * The descriptor of a received message; every surplus one is closed.  The
 * kernel delivers descriptors even with MSG_TRUNC, so they are always taken.
 */
static int
take_received_fd(struct msghdr *msg, unsigned int *count)
{
	struct cmsghdr *c;
	int fd = -1, got;
	size_t i, n;

	*count = 0;
	for (c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			memcpy(
			    &got, CMSG_DATA(c) + i * sizeof(int), sizeof(got));
			if (++*count == 1)
				fd = got;
			else
				fd_close(&got);
		}
	}
	return fd;
}

/* What the table says about one received message; NULL if it may pass. */
static const char *
schema_breach(const struct imsg_channel *ch, const struct imsg_header *hdr,
    size_t got, int flags, unsigned int fds)
{
	const struct msg_row *row;

	if (flags & MSG_CTRUNC)
		return "a descriptor was lost (descriptor table full)";
	if (flags & MSG_TRUNC)
		return "longer than any message";
	if (got < sizeof(*hdr))
		return "shorter than a header";
	row = msg_row(hdr->type);
	if (row == NULL)
		return "unknown message type";
	if (!(row->senders & PROC_BIT(ch->peer)) ||
	    !(row->receivers & PROC_BIT(ch->self)))
		return "not this peer's message";
	if (hdr->len != row->size || got != sizeof(*hdr) + row->size)
		return "wrong size";
	if (fds > 1)
		return "more than one descriptor";
	if (row->fd == MSG_FD_NONE && fds != 0)
		return "unexpected descriptor";
	if (row->fd == MSG_FD_ONE && fds != 1)
		return "descriptor missing";
	if (ch->handlers[hdr->type] == NULL)
		return "not expected here";
	return NULL;
}

/*
 * recvmsg() gives 0 for the end and for a message without a byte, which only
 * a peer sends that wants to look dead: only the end hangs up as well.
 */
static bool
is_hung_up(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLRDHUP };

	return poll(&pfd, 1, 0) == 1 &&
	    (pfd.revents & (POLLRDHUP | POLLHUP)) != 0;
}

/* Read one message and handle it.  1: did; 0: nothing more for now. */
static int
read_one(struct imsg_channel *ch)
{
	_Alignas(8) unsigned char data[IMSG_MAX_PAYLOAD];
	union {
		/* Room for two, so that a second one is seen and refused. */
		char buf[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct imsg_header hdr = { 0 };
	struct iovec iov[2] = {
		{ .iov_base = &hdr, .iov_len = sizeof(hdr) },
		{ .iov_base = data, .iov_len = sizeof(data) },
	};
	struct msghdr msg = {
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	const char *breach;
	unsigned int fds;
	struct imsg m;
	ssize_t n;
	int r;

	n = recvmsg(ch->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n == -1) {
		if (errno == EAGAIN)
			return 0;
		/*
		 * A peer that closed with input of ours unread makes the
		 * kernel say ECONNRESET once, before what the peer had sent.
		 */
		if (errno == EINTR || errno == ECONNRESET)
			return 1;
		channel_finish(ch, -errno, "recvmsg: %s", strerror(errno));
		return 0;
	}
	m.fd = take_received_fd(&msg, &fds);
	if (n == 0 && is_hung_up(ch->fd)) {
		fd_close(&m.fd);
		channel_finish(ch, 0, "closed by peer");
		return 0;
	}
	breach = schema_breach(ch, &hdr, (size_t)n, msg.msg_flags, fds);
	if (breach != NULL) {
		fd_close(&m.fd);
		channel_finish(ch, -EPROTO, "message %s (%u), %zd bytes: %s",
		    msg_name(hdr.type), hdr.type, n, breach);
		return 0;
	}
	m.type = hdr.type;
	m.id = hdr.id;
	m.data = data;
	r = ch->handlers[hdr.type](&m, ch->ctx);
	fd_close(&m.fd);
	if (r < 0) {
		channel_finish(ch, -EPROTO, "message %s: bad value (%s)",
		    msg_name(hdr.type), strerror(-r));
		return 0;
	}
	return !ch->finished;
}

static void
read_messages(struct imsg_channel *ch, int limit, int64_t limit_ns)
{
	int64_t start = clock_boot_ns();
	bool nested = ch->in_callback;

	ch->in_callback = true;
	while (limit-- > 0 && !ch->finished && read_one(ch) &&
	    clock_boot_ns() - start < limit_ns)
		continue;
	ch->in_callback = nested;
	if (ch->freed && !nested)
		channel_release(ch);
}

static void
handle_readable(evutil_socket_t fd, short what, void *arg)
{
	read_messages(arg, READS_PER_WAKEUP, READ_NS_PER_WAKEUP);
}

void
imsg_drain(struct imsg_channel *ch)
{
	/* A peer that dies cannot have more in flight than its queue. */
	read_messages(ch, 1 << 20, INT64_MAX);
}

/* One sendmsg(2).  0 sent; -EAGAIN wait for room; -ETOOMANYREFS later. */
static int
send_one(struct imsg_channel *ch, const struct imsg_header *hdr,
    const void *data, int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov[2] = {
		{ .iov_base = (void *)(uintptr_t)hdr, .iov_len = sizeof(*hdr) },
		{ .iov_base = (void *)(uintptr_t)data, .iov_len = hdr->len },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	struct cmsghdr *c;

	if (fd >= 0) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	/* ECONNRESET is said once, to whoever comes first: then EPIPE. */
	while (sendmsg(ch->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == -1) {
		if (errno != EINTR && errno != ECONNRESET)
			return -errno;
	}
	return 0;
}

/* Wait for room, or a little, according to why a send did not succeed. */
static int
await_room(struct imsg_channel *ch, int r)
{
	static const struct timeval soon = { .tv_usec = RETRY_USEC };

	if (r == -EAGAIN) {
		(void)event_add(ch->write_event, NULL);
		return 0;
	}
	if (r == -ETOOMANYREFS || r == -ENOBUFS || r == -ENOMEM) {
		(void)event_add(ch->retry_event, &soon);
		return 0;
	}
	return r;
}

/* 0: sent, or waiting for room; else the peer is gone and the queue too. */
static int
send_queued(struct imsg_channel *ch)
{
	struct imsg_out *out;
	int r;

	while (!ch->finished && (out = TAILQ_FIRST(&ch->queue)) != NULL) {
		r = send_one(ch, &out->hdr, out->data, out->fd);
		if (r == 0) {
			out_free(ch, out);
			continue;
		}
		/*
		 * A dead peer is reported by the reading side, after what
		 * it had still said; here the rest of the queue is moot.
		 */
		r = await_room(ch, r);
		if (r < 0)
			while ((out = TAILQ_FIRST(&ch->queue)) != NULL)
				out_free(ch, out);
		return r;
	}
	return 0;
}

static void
handle_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)send_queued(arg);
}

int
imsg_open(struct imsg_channel **out, struct event_base *base, int fd,
    enum proc_role self, enum proc_role peer, const imsg_handler *handlers,
    imsg_closed closed, void *ctx)
{
	struct imsg_channel *ch;

	ch = calloc(1, sizeof(*ch));
	if (ch == NULL) {
		fd_close(&fd);
		return -ENOMEM;
	}
	TAILQ_INIT(&ch->queue);
	ch->fd = fd;
	ch->pid = (uint32_t)getpid();
	ch->self = self;
	ch->peer = peer;
	ch->handlers = handlers;
	ch->closed = closed;
	ch->ctx = ctx;
	ch->read_event =
	    event_new(base, fd, EV_READ | EV_PERSIST, handle_readable, ch);
	ch->write_event = event_new(base, fd, EV_WRITE, handle_writable, ch);
	ch->retry_event = event_new(base, -1, 0, handle_writable, ch);
	if (ch->read_event == NULL || ch->write_event == NULL ||
	    ch->retry_event == NULL || event_add(ch->read_event, NULL) == -1) {
		channel_release(ch);
		return -ENOMEM;
	}
	*out = ch;
	return 0;
}

int
imsg_send(struct imsg_channel *ch, uint32_t type, uint64_t id, const void *data,
    size_t len, int fd)
{
	_cleanup_fd_ int owned = fd;
	struct imsg_header hdr = {
		.type = type,
		.len = (uint32_t)len,
		.id = id,
		.pid = ch != NULL ? ch->pid : 0,
	};
	struct imsg_out *out;
	int r;

	if (ch == NULL || ch->finished)
		return -EPIPE;
	if (TAILQ_EMPTY(&ch->queue)) {
		r = send_one(ch, &hdr, data, fd);
		if (r == 0)
			return 0;
		r = await_room(ch, r);
		if (r < 0)
			return r;
	}
	if (ch->backlog + sizeof(*out) + len > IMSG_HIGH_WATER)
		return -ENOBUFS;
	out = malloc(sizeof(*out) + len);
	if (out == NULL)
		return -ENOMEM;
	out->hdr = hdr;
	out->fd = fd_steal(&owned);
	memcpy(out->data, data, len);
	TAILQ_INSERT_TAIL(&ch->queue, out, entry);
	ch->backlog += sizeof(*out) + len;
	return 0;
}

int
imsg_take_fd(struct imsg *m)
{
	return fd_steal(&m->fd);
}

size_t
imsg_backlog(const struct imsg_channel *ch)
{
	return ch->backlog;
}

bool
imsg_has_unread(const struct imsg_channel *ch)
{
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof(info);

	if (ch->backlog > 0)
		return true;
	/* What a message takes is given back when it has been received. */
	return getsockopt(ch->fd, SOL_SOCKET, SO_MEMINFO, info, &len) == 0 &&
	    info[SK_MEMINFO_WMEM_ALLOC] > 0;
}

int
imsg_flush(struct imsg_channel *ch, int timeout_ms)
{
	int64_t until = clock_boot_ns() + timeout_ms * NSEC_PER_MSEC;
	struct pollfd pfd = { .fd = ch->fd, .events = POLLOUT };
	int64_t left;
	bool later;
	int r;

	for (;;) {
		if (ch->finished)
			return -EPIPE;
		r = send_queued(ch);
		if (r < 0)
			return r;
		if (TAILQ_EMPTY(&ch->queue))
			return 0;
		left = (until - clock_boot_ns()) / NSEC_PER_MSEC;
		if (left <= 0)
			return -ETIMEDOUT;
		/* There is room, and still it does not go: just wait. */
		later = event_pending(ch->retry_event, EV_TIMEOUT, NULL) != 0;
		if (poll(&pfd, later ? 0 : 1, left > 5 ? 5 : (int)left) == -1 &&
		    errno != EINTR)
			return -errno;
	}
}
