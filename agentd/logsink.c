/* SPDX-License-Identifier: ISC */
#include "agentd/logsink.h"

#include <event2/event.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/log.h"

#define FLUSH_MS 500

struct logsink {
	int fd;
	bool is_socket;
	size_t piece; /* no more than this in one write(2) */
	struct event *event;
	uint64_t lost; /* lines, not told of yet */
	size_t len;    /* of what waits */
	char buf[LOGSINK_MAX];
};

/*
 * O_NONBLOCK belongs to the open file, which a shell or an init script shares
 * with us: so another one of the same pipe.  What cannot be opened, a socket
 * above all, is asked each time.
 */
static int
open_own(int fd, const struct stat *st)
{
	char path[64];

	if (!S_ISFIFO(st->st_mode) && !S_ISCHR(st->st_mode))
		return -1;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* As much as goes without waiting: bytes, or -errno. */
static ssize_t
write_some(const struct logsink *s, const char *p, size_t len)
{
	struct pollfd pfd = { .fd = s->fd, .events = POLLOUT };
	ssize_t n;

	if (s->is_socket) {
		n = send(s->fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		return n == -1 ? -errno : n;
	}
	if (poll(&pfd, 1, 0) != 1)
		return -EAGAIN;
	n = write(s->fd, p, len < s->piece ? len : s->piece);
	return n == -1 ? -errno : n;
}

static size_t
write_all(struct logsink *s, const char *p, size_t len, int *error)
{
	size_t done = 0;
	ssize_t n = 0;

	while (done < len && n != -EAGAIN) {
		n = write_some(s, p + done, len - done);
		if (n > 0)
			done += (size_t)n;
		else if (n != -EINTR)
			break;
	}
	*error = done == len ? 0 : n < 0 ? (int)n : -EIO;
	return done;
}

static void
drop(struct logsink *s, size_t len)
{
	s->len -= len;
	memmove(s->buf, s->buf + len, s->len);
}

/* What waits goes; then what was lost is told, in a line like another. */
static void
drain(struct logsink *s)
{
	uint64_t lost = s->lost;
	int error;

	drop(s, write_all(s, s->buf, s->len, &error));
	if (error != 0 && error != -EAGAIN)
		s->len = 0; /* nobody is there */
	if (s->len > 0 || lost == 0 || error != 0)
		return;
	s->lost = 0;
	log_warn("%" PRIu64 " lines of the log are lost: they could not be "
		 "written",
	    lost);
}

static void
await(struct logsink *s)
{
	if (s->len > 0)
		(void)event_add(s->event, NULL);
}

static void
handle_writable(evutil_socket_t fd, short what, void *arg)
{
	struct logsink *s = arg;

	drain(s);
	await(s);
}

static void
handle_line(const char *line, size_t len, void *ctx)
{
	struct logsink *s = ctx;
	size_t done = 0;
	int error = -EAGAIN;

	if (s->len == 0)
		done = write_all(s, line, len, &error);
	if (error == 0) {
		drain(s);
		return;
	}
	/* What is begun is finished, else the next line is none. */
	if ((error == -EAGAIN || done > 0) &&
	    len - done <= sizeof(s->buf) - s->len) {
		memcpy(s->buf + s->len, line + done, len - done);
		s->len += len - done;
	} else {
		s->lost++;
	}
	await(s);
}

/* Whoever ends can wait for the reader a little. */
static void
flush(void *ctx)
{
	struct logsink *s = ctx;
	struct pollfd pfd = { .fd = s->fd, .events = POLLOUT };
	int64_t until = clock_boot_ns() + FLUSH_MS * NSEC_PER_MSEC;

	while (s->len > 0 && clock_boot_ns() < until)
		if (poll(&pfd, 1, 10) != 0)
			drain(s);
}

int
logsink_open(struct logsink **out, struct event_base *base, int fd)
{
	struct logsink *s = calloc(1, sizeof(*s));
	struct stat st = { 0 };

	if (s == NULL)
		return -ENOMEM;
	s->is_socket = fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
	s->fd = open_own(fd, &st);
	s->piece = SIZE_MAX;
	if (s->fd == -1) {
		s->fd = fd_copy(fd);
		/* A pipe that can be written to at all has room for this. */
		if (!S_ISREG(st.st_mode))
			s->piece = PIPE_BUF;
	}
	s->event = event_new(base, s->fd, EV_WRITE, handle_writable, s);
	if (s->fd == -1 || s->event == NULL) {
		fd_close(&s->fd);
		free(s);
		return -ENOMEM;
	}
	log_set_sink(handle_line, flush, s);
	*out = s;
	return 0;
}

void
logsink_free(struct logsink *sink)
{
	if (sink == NULL)
		return;
	flush(sink);
	log_set_sink(NULL, NULL, NULL);
	event_free(sink->event);
	fd_close(&sink->fd);
	free(sink);
}
