/* SPDX-License-Identifier: ISC */
#include "common/listenfds.h"

#include <fcntl.h>
#include <string.h>

#include "tests/unit/unit.h"

static void
say(const char *fds, const char *names, pid_t pid)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%d", pid);
	ck_assert_int_eq(setenv("LISTEN_PID", text, 1), 0);
	ck_assert_int_eq(setenv("LISTEN_FDS", fds, 1), 0);
	if (names != NULL)
		ck_assert_int_eq(setenv("LISTEN_FDNAMES", names, 1), 0);
}

static void
open_two(void)
{
	/* Some may be open already: the test's own. */
	while (fcntl(4, F_GETFD) == -1 || fcntl(3, F_GETFD) == -1)
		ck_assert_int_ge(open("/dev/null", O_RDONLY), 0);
}

START_TEST (what_is_there_is_taken) {
	struct listenfd *list;
	size_t n;

	open_two();
	say("2", "first:sec\nond", getpid());
	ck_assert_int_eq(listenfds_take(&list, &n), 0);
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq(list[0].fd, 3);
	ck_assert_str_eq(list[0].name, "first");
	ck_assert_int_eq(list[1].fd, 4);
	ck_assert_str_eq(list[1].name, "sec?ond");
	ck_assert_int_eq(fcntl(4, F_GETFD), FD_CLOEXEC);
	ck_assert_ptr_null(getenv("LISTEN_PID"));
	ck_assert_ptr_null(getenv("LISTEN_FDS"));
	ck_assert_ptr_null(getenv("LISTEN_FDNAMES"));
	free(list);
}
END_TEST

START_TEST (fewer_names_and_long_ones) {
	struct listenfd *list;
	char names[200];
	size_t n;

	open_two();
	memset(names, 'x', sizeof(names) - 1);
	names[sizeof(names) - 1] = '\0';
	say("2", names, getpid());
	ck_assert_int_eq(listenfds_take(&list, &n), 0);
	ck_assert_uint_eq(n, 2);
	ck_assert_uint_eq(strlen(list[0].name), LISTENFDS_NAME_SIZE - 1);
	ck_assert_str_eq(list[1].name, "");
	free(list);
}
END_TEST

START_TEST (meant_for_somebody_else) {
	struct listenfd *list;
	size_t n;

	ck_assert_int_eq(listenfds_take(&list, &n), 0);
	ck_assert_uint_eq(n, 0);
	open_two();
	say("2", NULL, getpid() + 1);
	ck_assert_int_eq(listenfds_take(&list, &n), 0);
	ck_assert_uint_eq(n, 0);
	ck_assert_ptr_null(list);
	ck_assert_ptr_null(getenv("LISTEN_FDS"));
}
END_TEST

START_TEST (nonsense_takes_nothing) {
	static const char *const counts[] = { "", "-1", "2x", "65537", "999" };
	struct listenfd *list;
	size_t i, n;

	for (i = 0; i < nitems(counts); i++) {
		/* 999: more than are open. */
		say(counts[i], NULL, getpid());
		ck_assert_int_eq(listenfds_take(&list, &n), -EINVAL);
		ck_assert_uint_eq(n, 0);
		ck_assert_ptr_null(list);
	}
}
END_TEST

UNIT_MAIN("listenfds", what_is_there_is_taken, fewer_names_and_long_ones,
    meant_for_somebody_else, nonsense_takes_nothing)
