/* SPDX-License-Identifier: ISC */
#include "common/notify.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "common/strnum.h"

#define TEXT_MAX  1024
#define WAIT_MSEC 1000

struct notify {
	int fd;
	struct sockaddr_un addr;
	socklen_t addr_len;
	int64_t watchdog_ns;
};

/* $NOTIFY_SOCKET as an address: a path, or an abstract name after '@'. */
static int
parse_address(const char *name, struct sockaddr_un *addr, socklen_t *len)
{
	size_t n = strlen(name);

	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	if ((name[0] != '/' && name[0] != '@') || n < 2)
		return -EINVAL;
	if (n >= sizeof(addr->sun_path))
		return -EINVAL;
	memcpy(addr->sun_path, name, n);
	if (name[0] == '@')
		addr->sun_path[0] = '\0';
	/* An abstract name ends with its length, a path with its NUL. */
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n +
	    (name[0] == '/' ? 1 : 0));
	return 0;
}

static int64_t
parse_watchdog(const char *usec, const char *pid)
{
	uint64_t us, n;

	if (usec == NULL ||
	    strnum_parse_u64(usec, 1, INT64_MAX / 1000, &us) < 0)
		return 0;
	if (pid != NULL &&
	    (strnum_parse_u64(pid, 1, INT32_MAX, &n) < 0 ||
		(pid_t)n != getpid()))
		return 0;
	return (int64_t)us * 1000;
}

static int
connect_socket(struct notify *n)
{
	fd_close(&n->fd);
	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (n->fd == -1)
		return -errno;
	if (connect(n->fd, (struct sockaddr *)&n->addr, n->addr_len) == -1)
		return -errno;
	return 0;
}

int
notify_open(struct notify **out)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct notify *n;
	int r;

	*out = NULL;
	if (name == NULL || *name == '\0')
		return 0;
	n = calloc(1, sizeof(*n));
	if (n == NULL)
		return -ENOMEM;
	n->fd = -1;
	n->watchdog_ns =
	    parse_watchdog(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
	r = parse_address(name, &n->addr, &n->addr_len);
	(void)unsetenv("NOTIFY_SOCKET");
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
	if (r == 0)
		r = connect_socket(n);
	if (r < 0) {
		notify_free(n);
		return r;
	}
	*out = n;
	return 0;
}

void
notify_free(struct notify *n)
{
	if (n == NULL)
		return;
	fd_close(&n->fd);
	free(n);
}

int
notify_fd(const struct notify *n)
{
	return n != NULL ? n->fd : -1;
}

int64_t
notify_watchdog_ns(const struct notify *n)
{
	return n != NULL ? n->watchdog_ns : 0;
}

/* One datagram, with FD along unless it is -1. */
static int
send_once(struct notify *n, const char *text, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (fd >= 0) {
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	return sendmsg(n->fd, &m, MSG_NOSIGNAL) == -1 ? -errno : 0;
}

static int
send_text(struct notify *n, const char *text, int fd, bool wait)
{
	struct pollfd p;
	int r;

	if (n == NULL)
		return 0;
	r = send_once(n, text, fd);
	if (r == -ECONNREFUSED || r == -ENOTCONN) {
		/* The manager has made its socket anew. */
		r = connect_socket(n);
		if (r == 0)
			r = send_once(n, text, fd);
	}
	if (r == -EAGAIN && wait) {
		p = (struct pollfd){ .fd = n->fd, .events = POLLOUT };
		if (poll(&p, 1, WAIT_MSEC) > 0)
			r = send_once(n, text, fd);
	}
	return r;
}

/* "KEY=1\nSTATUS=...", the status without what would begin a new line. */
static int
send_state(struct notify *n, const char *key, const char *status)
{
	char text[TEXT_MAX];
	size_t len;

	len = (size_t)snprintf(text, sizeof(text), "%s", key);
	if (status != NULL && len < sizeof(text)) {
		(void)snprintf(text + len, sizeof(text) - len,
		    "%sSTATUS=", len > 0 ? "\n" : "");
		len = strlen(text);
		str_copy_cut(text + len, sizeof(text) - len, status);
		str_scrub(text + len, sizeof(text) - len);
	}
	return send_text(n, text, -1, *key != '\0');
}

int
notify_ready(struct notify *n, const char *status)
{
	return send_state(n, "READY=1", status);
}

int
notify_stopping(struct notify *n, const char *status)
{
	return send_state(n, "STOPPING=1", status);
}

int
notify_reloading(struct notify *n)
{
	char text[128];
	struct timespec ts;

	/* The manager pairs RELOADING with the next READY by this clock, and
	 * it must be this one. */
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	(void)snprintf(text, sizeof(text),
	    "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
	    (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
	return send_state(n, text, NULL);
}

int
notify_status(struct notify *n, const char *fmt, ...)
{
	char status[TEXT_MAX / 2];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(status, sizeof(status), fmt, ap);
	va_end(ap);
	return send_state(n, "", status);
}

int
notify_watchdog(struct notify *n)
{
	return send_text(n, "WATCHDOG=1", -1, false);
}

int
notify_store_fd(struct notify *n, const char *name, int fd, bool poll)
{
	char text[TEXT_MAX];

	if (n == NULL)
		return 0;
	if (strchr(name, '\n') != NULL || strchr(name, ':') != NULL ||
	    strlen(name) > 255)
		return -EINVAL;
	(void)snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s%s", name,
	    poll ? "" : "\nFDPOLL=0");
	return send_text(n, text, fd, true);
}

int
notify_remove_fd(struct notify *n, const char *name)
{
	char text[TEXT_MAX];

	if (strchr(name, '\n') != NULL || strlen(name) > 255)
		return -EINVAL;
	(void)snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	return send_text(n, text, -1, true);
}

int
notify_barrier(struct notify *n, int limit_msec)
{
	int ends[2], r;
	struct pollfd p;

	if (n == NULL)
		return 0;
	if (pipe2(ends, O_CLOEXEC) == -1)
		return -errno;
	/* The manager closes its copy when it comes to this word. */
	r = send_text(n, "BARRIER=1", ends[1], true);
	(void)close(ends[1]);
	p = (struct pollfd){ .fd = ends[0] };
	if (r == 0) {
		do {
			r = poll(&p, 1, limit_msec);
		} while (r == -1 && errno == EINTR);
		r = r > 0 ? 0 : r == 0 ? -ETIMEDOUT : -errno;
	}
	(void)close(ends[0]);
	return r;
}
