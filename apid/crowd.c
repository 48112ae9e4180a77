/* SPDX-License-Identifier: ISC */
#include "apid/crowd.h"

#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

/*
 * Descriptors are given out from the lowest on: while this one is free there
 * cannot be a crowd, and one system call a connection is all that it costs.
 */
#define CROWD_MARK (CROWD_MAX / 2)

#define FD_MAX 1024 /* apid's limit (sandbox_rows.c) */

/* How often it is looked again while there are too many. */
#define AGAIN_MS 10

struct crowd {
	struct event *woken;
	struct event *again;
	atomic_bool told; /* is looking, and need not be told */
	int wake;         /* eventfd */
};

/* For how long it has been slow; 0: it is not. */
static uint32_t
slow_ms(const struct crowd_member *m)
{
	uint32_t from = m->unread ? CROWD_UNREAD_MS : CROWD_IDLE_MS;

	return m->idle_ms >= from ? m->idle_ms : 0;
}

static int
compare_slow(const void *a, const void *b)
{
	uint32_t x = slow_ms(a), y = slow_ms(b);

	return (x < y) - (x > y);
}

size_t
crowd_choose(struct crowd_member *members, size_t count)
{
	size_t excess, n = 0;

	if (count <= CROWD_MAX)
		return 0;
	excess = count - CROWD_MAX;
	qsort(members, count, sizeof(*members), compare_slow);
	while (n < excess && slow_ms(&members[n]) > 0)
		n++;
	return n;
}

/* Whether FD is a connection, and how it goes. */
static bool
ask(int fd, struct crowd_member *m)
{
	socklen_t len = sizeof(struct tcp_info);
	struct tcp_info info;
	char byte;

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == -1 ||
	    (info.tcpi_state != TCP_ESTABLISHED &&
		info.tcpi_state != TCP_CLOSE_WAIT))
		return false;
	m->fd = fd;
	m->idle_ms = info.tcpi_last_data_sent;
	m->unread = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
	return true;
}

static size_t
ask_all(struct crowd_member *members)
{
	size_t count = 0;
	int fd;

	for (fd = 3; fd < FD_MAX; fd++)
		if (ask(fd, &members[count]))
			count++;
	return count;
}

/*
 * Its thread may have closed it meanwhile, and the number be another's: asked
 * again, since that one was just served or has just come.  A descriptor of
 * our own makes it one and the same that is asked and that is ended.
 */
static void
end_slow(int fd)
{
	_cleanup_fd_ int held = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	struct crowd_member now;

	if (held != -1 && ask(held, &now) && slow_ms(&now) > 0)
		(void)shutdown(held, SHUT_RDWR);
}

static void
look(evutil_socket_t unused, short events, void *arg)
{
	const struct timeval again = { .tv_usec = AGAIN_MS * 1000 };
	struct crowd_member members[FD_MAX];
	struct crowd *c = arg;
	size_t count, end, i;

	/* Before counting: who comes while it goes on may not be in it. */
	atomic_store(&c->told, false);
	count = ask_all(members);
	end = crowd_choose(members, count);
	for (i = 0; i < end; i++)
		end_slow(members[i].fd);
	if (count > CROWD_MAX && event_add(c->again, &again) == 0)
		atomic_store(&c->told, true);
}

static void
handle_woken(evutil_socket_t fd, short events, void *arg)
{
	eventfd_t value;

	if (eventfd_read(fd, &value) == 0)
		look(-1, 0, arg);
}

void
crowd_note(struct crowd *c)
{
	if (fcntl(CROWD_MARK, F_GETFD) != -1 &&
	    !atomic_exchange(&c->told, true))
		(void)eventfd_write(c->wake, 1);
}

int
crowd_open(struct crowd **out, struct event_base *base)
{
	struct crowd *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->wake == -1) {
		free(c);
		return -errno;
	}
	c->woken =
	    event_new(base, c->wake, EV_READ | EV_PERSIST, handle_woken, c);
	c->again = event_new(base, -1, 0, look, c);
	if (c->woken == NULL || c->again == NULL ||
	    event_add(c->woken, NULL) == -1) {
		crowd_close(c);
		return -ENOMEM;
	}
	*out = c;
	return 0;
}

void
crowd_close(struct crowd *c)
{
	if (c == NULL)
		return;
	if (c->woken != NULL)
		event_free(c->woken);
	if (c->again != NULL)
		event_free(c->again);
	fd_close(&c->wake);
	free(c);
}
