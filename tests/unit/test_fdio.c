/* SPDX-License-Identifier: ISC */
#include "common/fdio.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#include "tests/unit/unit.h"

#define MUCH (1u << 20) /* far more than a pipe holds */

static char got[MUCH];
static atomic_int alarms; /* of the handler and of the reader */

static void
count_alarm(int signo)
{
	alarms++;
}

/* Two more while nothing goes in: the writer has been disturbed, twice. */
static void
wait_until_disturbed(int fd)
{
	int seen, size = fcntl(fd, F_GETPIPE_SZ), len = 0;

	while (ioctl(fd, FIONREAD, &len) == 0 && len < size)
		(void)usleep(1000);
	for (seen = alarms; alarms < seen + 2;)
		(void)usleep(1000);
}

static void *
read_all(void *arg)
{
	size_t len = 0;
	ssize_t n;

	wait_until_disturbed(*(int *)arg);
	while (len < sizeof(got) &&
	    (n = read(*(int *)arg, got + len, sizeof(got) - len)) > 0)
		len += (size_t)n;
	return NULL;
}

/* A signal every USEC, after which no call is restarted; 0: no more. */
static void
disturb(long usec)
{
	const struct sigaction action = { .sa_handler = count_alarm };
	const struct itimerval timer = { { 0, usec }, { 0, usec } };

	ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

START_TEST (what_goes_in_pieces_arrives_whole) {
	static char data[MUCH];
	pthread_t reader;
	sigset_t alarm_set;
	int ends[2];
	size_t i;

	for (i = 0; i < sizeof(data); i++)
		data[i] = (char)(i >> 8 ^ i >> 16);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	(void)sigemptyset(&alarm_set);
	(void)sigaddset(&alarm_set, SIGALRM);
	(void)pthread_sigmask(SIG_BLOCK, &alarm_set, NULL);
	ck_assert_int_eq(pthread_create(&reader, NULL, read_all, &ends[0]), 0);
	disturb(5000);
	(void)pthread_sigmask(SIG_UNBLOCK, &alarm_set, NULL);
	ck_assert_int_eq(fd_write_all(ends[1], data, sizeof(data)), 0);
	disturb(0);
	(void)close(ends[1]);
	ck_assert_int_eq(pthread_join(reader, NULL), 0);
	(void)close(ends[0]);
	ck_assert(memcmp(got, data, sizeof(data)) == 0);
}
END_TEST

START_TEST (errors_are_told) {
	_cleanup_fd_ int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	int ends[2];

	ck_assert_int_ge(full, 0);
	ck_assert_int_eq(fd_write_all(full, "x", 1), -ENOSPC);
	ck_assert_int_eq(fd_write_all(full, "", 0), 0);
	ck_assert_int_eq(fd_write_all(-1, "x", 1), -EBADF);
	ck_assert_ptr_ne(signal(SIGPIPE, SIG_IGN), SIG_ERR);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	(void)close(ends[0]);
	ck_assert_int_eq(fd_write_all(ends[1], "x", 1), -EPIPE);
	(void)close(ends[1]);
}
END_TEST

UNIT_MAIN("fdio", what_goes_in_pieces_arrives_whole, errors_are_told)
