/* SPDX-License-Identifier: ISC */
/*
 * A small service manager listens, on a path and on an abstract name.
 */
#include "common/notify.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/unit/unit.h"

static char name[64];

/* A socket as the manager has it; NAME[0] is '/' or '@'. */
static int
listen_on(const char *where)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	socklen_t len;
	int fd;

	(void)unlink(where);
	memcpy(addr.sun_path, where, strlen(where) + 1);
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
	    strlen(where) + (where[0] == '/'));
	if (where[0] == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, len), 0);
	return fd;
}

static int
begin(char kind)
{
	static int count;

	(void)snprintf(name, sizeof(name), "%s%d-%d",
	    kind == '/' ? "/tmp/aegis-test-notify-" : "@aegis-test-notify-",
	    getpid(), count++);
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", name, 1), 0);
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
	return listen_on(name);
}

static void
end(int fd)
{
	(void)close(fd);
	(void)unlink(name);
}

/* The next datagram; its descriptor, if one came, in *PASSED. */
static const char *
receive(int fd, int *passed)
{
	static char text[2048];
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { text, sizeof(text) - 1 };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	ssize_t n;

	n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return "";
	text[n] = '\0';
	if (passed != NULL) {
		*passed = -1;
		c = CMSG_FIRSTHDR(&m);
		if (c != NULL)
			memcpy(passed, CMSG_DATA(c), sizeof(*passed));
	}
	return text;
}

START_TEST (words_arrive) {
	static const char kinds[] = { '/', '@' };
	struct notify *n;
	struct timespec ts;
	int64_t usec, now;
	size_t i;
	int fd;

	for (i = 0; i < nitems(kinds); i++) {
		fd = begin(kinds[i]);
		ck_assert_int_eq(notify_open(&n), 0);
		ck_assert_ptr_nonnull(n);
		ck_assert_ptr_null(getenv("NOTIFY_SOCKET"));
		ck_assert_int_ge(notify_fd(n), 0);
		ck_assert_int_ne(fcntl(notify_fd(n), F_GETFD) & FD_CLOEXEC, 0);
		ck_assert_int_eq(notify_ready(n, "3 programs"), 0);
		ck_assert_str_eq(
		    receive(fd, NULL), "READY=1\nSTATUS=3 programs");
		ck_assert_int_eq(notify_ready(n, NULL), 0);
		ck_assert_str_eq(receive(fd, NULL), "READY=1");
		ck_assert_int_eq(notify_status(n, "%d of %d", 1, 2), 0);
		ck_assert_str_eq(receive(fd, NULL), "STATUS=1 of 2");
		/* A newline would begin another word. */
		ck_assert_int_eq(notify_status(n, "a\nREADY=1"), 0);
		ck_assert_str_eq(receive(fd, NULL), "STATUS=a?READY=1");
		ck_assert_int_eq(notify_stopping(n, "bye"), 0);
		ck_assert_str_eq(receive(fd, NULL), "STOPPING=1\nSTATUS=bye");
		ck_assert_int_eq(notify_watchdog(n), 0);
		ck_assert_str_eq(receive(fd, NULL), "WATCHDOG=1");
		ck_assert_int_eq(notify_reloading(n), 0);
		ck_assert_int_eq(
		    sscanf(receive(fd, NULL),
			"RELOADING=1\nMONOTONIC_USEC=%" SCNd64, &usec),
		    1);
		(void)clock_gettime(CLOCK_MONOTONIC, &ts);
		now = (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
		ck_assert(usec <= now && usec > now - 10000000);
		notify_free(n);
		end(fd);
	}
}
END_TEST

START_TEST (without_a_manager_nothing_happens) {
	struct notify *n;

	(void)unsetenv("NOTIFY_SOCKET");
	ck_assert_int_eq(notify_open(&n), 0);
	ck_assert_ptr_null(n);
	ck_assert_int_eq(notify_ready(n, "x"), 0);
	ck_assert_int_eq(notify_status(n, "x"), 0);
	ck_assert_int_eq(notify_watchdog(n), 0);
	ck_assert_int_eq(notify_store_fd(n, "x", 0, true), 0);
	ck_assert_int_eq(notify_watchdog_ns(n), 0);
	ck_assert_int_eq(notify_fd(n), -1);
	notify_free(n);
}
END_TEST

START_TEST (bad_addresses) {
	static const struct {
		const char *value;
		int result;
	} cases[] = { { "relative", -EINVAL }, { "/", -EINVAL },
		{ "@", -EINVAL }, { "vsock:2:1", -EINVAL },
		{ "/nonexistent/x", -ENOENT },
		{ "@aegis-test-nobody-there", -ECONNREFUSED },
		{ "/12345678901234567890123456789012345678901234567890123456789"
		  "012345678901234567890123456789012345678901234567890",
		    -EINVAL } };
	struct notify *n;
	size_t i;

	for (i = 0; i < nitems(cases); i++) {
		ck_assert_int_eq(setenv("NOTIFY_SOCKET", cases[i].value, 1), 0);
		ck_assert_int_eq(notify_open(&n), cases[i].result);
		ck_assert_ptr_null(n);
		ck_assert_ptr_null(getenv("NOTIFY_SOCKET"));
	}
}
END_TEST

START_TEST (the_watchdog_is_for_this_process) {
	static const struct {
		const char *usec;
		const char *pid; /* "": ours */
		int64_t ns;
	} cases[] = { { "20000000", NULL, 20000000000 },
		{ "20000000", "", 20000000000 }, { "20000000", "1", 0 },
		{ "20000000", "x", 0 }, { "0", NULL, 0 }, { "-1", NULL, 0 },
		{ "99999999999999999999", NULL, 0 }, { NULL, NULL, 0 } };
	struct notify *n;
	char pid[16];
	size_t i;
	int fd;

	for (i = 0; i < nitems(cases); i++) {
		fd = begin('@');
		(void)snprintf(pid, sizeof(pid), "%d", getpid());
		if (cases[i].usec != NULL)
			ck_assert_int_eq(
			    setenv("WATCHDOG_USEC", cases[i].usec, 1), 0);
		if (cases[i].pid != NULL)
			ck_assert_int_eq(
			    setenv("WATCHDOG_PID",
				*cases[i].pid != '\0' ? cases[i].pid : pid, 1),
			    0);
		ck_assert_int_eq(notify_open(&n), 0);
		ck_assert_int_eq(notify_watchdog_ns(n), cases[i].ns);
		ck_assert_ptr_null(getenv("WATCHDOG_USEC"));
		notify_free(n);
		end(fd);
	}
}
END_TEST

START_TEST (descriptors_are_stored) {
	int fd = begin('@'), null, passed;
	struct stat a, b;
	struct notify *n;

	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(notify_open(&n), 0);
	ck_assert_int_eq(notify_store_fd(n, "link-1", null, true), 0);
	ck_assert_str_eq(receive(fd, &passed), "FDSTORE=1\nFDNAME=link-1");
	ck_assert_int_eq(fstat(null, &a), 0);
	ck_assert_int_eq(fstat(passed, &b), 0);
	ck_assert_uint_eq(a.st_rdev, b.st_rdev);
	(void)close(passed);
	ck_assert_int_eq(notify_store_fd(n, "map-1", null, false), 0);
	ck_assert_str_eq(
	    receive(fd, &passed), "FDSTORE=1\nFDNAME=map-1\nFDPOLL=0");
	(void)close(passed);
	ck_assert_int_eq(notify_remove_fd(n, "link-1"), 0);
	ck_assert_str_eq(receive(fd, NULL), "FDSTOREREMOVE=1\nFDNAME=link-1");
	ck_assert_int_eq(notify_store_fd(n, "a\nb", null, true), -EINVAL);
	ck_assert_int_eq(notify_store_fd(n, "a:b", null, true), -EINVAL);
	ck_assert_str_eq(receive(fd, NULL), "");
	(void)close(null);
	notify_free(n);
	end(fd);
}
END_TEST

START_TEST (a_manager_that_comes_back) {
	int fd = begin('/');
	struct notify *n;

	ck_assert_int_eq(notify_open(&n), 0);
	(void)close(fd);
	ck_assert_int_eq(notify_status(n, "lost"), -ECONNREFUSED);
	fd = listen_on(name);
	ck_assert_int_eq(notify_status(n, "found"), 0);
	ck_assert_str_eq(receive(fd, NULL), "STATUS=found");
	notify_free(n);
	end(fd);
}
END_TEST

/* Nobody reads: a status is dropped, READY waits its second and fails. */
START_TEST (a_manager_that_does_not_read) {
	int fd = begin('@'), i, r = 0;
	struct notify *n;

	ck_assert_int_eq(notify_open(&n), 0);
	for (i = 0; i < 100000 && r == 0; i++)
		r = notify_status(n, "%d", i);
	ck_assert_int_eq(r, -EAGAIN);
	ck_assert_int_eq(notify_ready(n, NULL), -EAGAIN);
	ck_assert_str_eq(receive(fd, NULL), "STATUS=0");
	ck_assert_int_eq(notify_ready(n, NULL), 0);
	notify_free(n);
	end(fd);
}
END_TEST

START_TEST (a_barrier_is_waited_for) {
	int fd = begin('@'), passed = -1, second;
	struct notify *n;

	ck_assert_int_eq(notify_open(&n), 0);
	/* Nobody has dealt with it yet. */
	ck_assert_int_eq(notify_barrier(n, 10), -ETIMEDOUT);
	ck_assert_str_eq(receive(fd, &passed), "BARRIER=1");
	ck_assert_int_ge(passed, 0);
	(void)close(passed);
	/* Another process does now. */
	second = fork();
	if (second == 0) {
		while (strcmp(receive(fd, &passed), "BARRIER=1") != 0)
			continue;
		_exit(0);
	}
	ck_assert_int_eq(notify_barrier(n, 50000), 0);
	ck_assert_int_eq(notify_barrier(NULL, 0), 0);
	(void)waitpid(second, NULL, 0);
	notify_free(n);
	end(fd);
}
END_TEST

UNIT_MAIN("notify", words_arrive, without_a_manager_nothing_happens,
    bad_addresses, the_watchdog_is_for_this_process, descriptors_are_stored,
    a_manager_that_comes_back, a_manager_that_does_not_read,
    a_barrier_is_waited_for)
