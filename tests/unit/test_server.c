/* SPDX-License-Identifier: ISC */
/*
 * civetweb on a listening socket of ours.  What it does over connections:
 * tests/integration/test_apid.py.
 */
#include "apid/server.h"

#include <event2/event.h>
#include <arpa/inet.h>
#include <asm/poll.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/unit.h"

#define GAP_MS 300

static struct sockaddr_in ours;
static atomic_bool polls_another; /* civetweb: a socket that is not ours */

/* <poll.h> says that it only writes there. */
int poll(struct pollfd *fds, unsigned long n, int timeout_ms);

/* civetweb's: whether it waits for who comes to another port than ours. */
int
poll(struct pollfd *fds, unsigned long n, int timeout_ms)
{
	struct timespec ts = {
		.tv_sec = timeout_ms / 1000,
		.tv_nsec = timeout_ms % 1000 * 1000000L,
	};
	struct sockaddr_in addr = { 0 };
	socklen_t len = sizeof(addr);

	/* Connections have the port of the socket that they came by. */
	if (n == 1 &&
	    getsockname(fds->fd, (struct sockaddr *)&addr, &len) == 0 &&
	    addr.sin_port != ours.sin_port)
		atomic_store(&polls_another, true);
	return (int)syscall(
	    SYS_ppoll, fds, n, timeout_ms < 0 ? NULL : &ts, NULL, 0);
}

/* The server's, which puts our socket in its place: somewhat later. */
int
dup3(int from, int to, int flags)
{
	const struct timespec moment = { .tv_nsec = 1000000 };
	int i;

	for (i = 0; i < GAP_MS && !atomic_load(&polls_another); i++)
		(void)nanosleep(&moment, NULL);
	return (int)syscall(SYS_dup3, from, to, flags);
}

/*
 * civetweb's, too: one of them, counted from 1, is not to be had.  The system
 * says so when the account has as many as it may have.
 */
static int fails, made;

int
pthread_create(pthread_t *out, const pthread_attr_t *attr,
    void *(*body)(void *), void *arg)
{
	int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *),
	    void *) = dlsym(RTLD_NEXT, "pthread_create");

	return ++made == fails ? EAGAIN : real(out, attr, body, arg);
}

static int
listen_here(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(ours);

	ours = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&ours, len), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&ours, &len), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	return fd;
}

/* The status line's number, of what GET /healthz is answered with. */
static int
ask(void)
{
	static const char request[] = "GET /healthz HTTP/1.0\r\n\r\n";
	const struct timeval limit = { .tv_sec = 30 };
	char answer[512] = "";
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), status = 0;

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	ck_assert_int_eq(
	    connect(fd, (struct sockaddr *)&ours, sizeof(ours)), 0);
	ck_assert_int_eq(send(fd, request, sizeof(request) - 1, 0),
	    (int)sizeof(request) - 1);
	ck_assert_int_gt(recv(fd, answer, sizeof(answer) - 1, 0), 0);
	ck_assert_int_eq(sscanf(answer, "HTTP/1.1 %d", &status), 1);
	ck_assert_int_eq(close(fd), 0);
	return status;
}

/*
 * A poll(2) that begins with the socket that was there before goes on waiting
 * for that one, for two seconds, whatever comes to ours.
 */
START_TEST (it_waits_for_no_other_socket) {
	struct event_base *base = event_base_new();
	struct server *server;
	struct routes routes;
	struct store store;
	char text[256];

	store_init(&store);
	routes_init(&routes, &store, "host-001");
	ck_assert_int_eq(server_load(NULL, text, sizeof(text)), 0);
	ck_assert_int_eq(server_start(&server, base, &routes, listen_here(),
			     NULL, text, sizeof(text)),
	    0);
	/* There is no snapshot. */
	ck_assert_int_eq(ask(), 503);
	ck_assert(!atomic_load(&polls_another));
	server_stop(server);
	routes_clear(&routes);
	store_clear(&store);
	event_base_free(base);
}
END_TEST

/* Of the sanitizer, where there is one. */
void __lsan_disable(void) __attribute__((weak));

/* Without that thread, and as apid does: what is left over is nobody's. */
static void
start_without(int number)
{
	struct event_base *base = event_base_new();
	struct server *server = NULL;
	struct routes routes;
	struct store store;
	char text[256] = "";

	if (__lsan_disable != NULL)
		__lsan_disable();
	store_init(&store);
	routes_init(&routes, &store, "host-001");
	ck_assert_int_eq(server_load(NULL, text, sizeof(text)), 0);
	made = 0;
	fails = number;
	ck_assert_int_eq(server_start(&server, base, &routes, listen_here(),
			     NULL, text, sizeof(text)),
	    -EAGAIN);
	ck_assert_ptr_null(server);
	ck_assert_ptr_nonnull(strstr(text, "thread"));
}

/* civetweb does not look whether it has got the one that accepts. */
START_TEST (without_the_first_it_does_not_start) {
	start_without(1);
}
END_TEST

START_TEST (without_the_second_it_does_not_start) {
	start_without(2);
}
END_TEST

START_TEST (without_one_of_many_it_does_not_start) {
	start_without(200);
}
END_TEST

UNIT_MAIN("server", it_waits_for_no_other_socket,
    without_the_first_it_does_not_start, without_the_second_it_does_not_start,
    without_one_of_many_it_does_not_start)
