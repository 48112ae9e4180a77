/* SPDX-License-Identifier: ISC */
#include "common/fdio.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "tests/unit/unit.h"

#define MUCH (1u << 20) /* far more than a pipe holds */

static char got[MUCH];

/* Reads until the end, in pieces. */
static void *
read_all(void *arg)
{
	size_t len = 0;
	ssize_t n;

	while (len < sizeof(got) &&
	    (n = read(*(int *)arg, got + len, sizeof(got) - len)) > 0)
		len += (size_t)n;
	return NULL;
}

START_TEST (what_goes_in_pieces_arrives_whole) {
	static char data[MUCH];
	pthread_t reader;
	int ends[2];
	size_t i;

	for (i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 31 >> 7);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_eq(pthread_create(&reader, NULL, read_all, &ends[0]), 0);
	ck_assert_int_eq(fd_write_all(ends[1], data, sizeof(data)), 0);
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
