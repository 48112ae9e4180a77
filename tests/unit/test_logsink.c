/* SPDX-License-Identifier: ISC */
#include "agentd/logsink.h"

#include <event2/event.h>
#include <string.h>
#include <sys/socket.h>

#include "common/log.h"
#include "tests/unit/unit.h"

#define LINES 4000

static struct event_base *base;
static struct logsink *sink;
static int ends[2]; /* to be read, to be written */

/* All that was written, as far as the loop and we get it through. */
static char got[4 << 20];
static size_t got_len;

static void
read_all(void)
{
	ssize_t n;

	do {
		ck_assert_int_ge(event_base_loop(base, EVLOOP_NONBLOCK), 0);
		n = recv(ends[0], got + got_len, sizeof(got) - 1 - got_len,
		    MSG_DONTWAIT);
		if (n == -1 && errno == ENOTSOCK)
			n = read(
			    ends[0], got + got_len, sizeof(got) - 1 - got_len);
		got_len += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	got[got_len] = '\0';
}

static void
begin(void)
{
	base = event_base_new();
	ck_assert_int_eq(logsink_open(&sink, base, ends[1]), 0);
	log_open_stdout("agentd", "host-1", false);
}

static void
setup_pipe(void)
{
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	begin();
}

static void
setup_socket(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	begin();
}

static void
end(void)
{
	logsink_free(sink);
	event_base_free(base);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

/* Every line is whole, and numbers grow; how many there are. */
static unsigned int
count_lines(unsigned int *lost)
{
	unsigned int n = 0, number, last = 0;
	char *line, *rest = got;

	*lost = 0;
	while ((line = strsep(&rest, "\n")) != NULL) {
		if (*line == '\0')
			continue;
		ck_assert_msg(line[0] == '{' && line[strlen(line) - 1] == '}',
		    "'%s' is no line", line);
		line = strstr(line, "\"msg\":\"");
		if (sscanf(line, "\"msg\":\"line %u\"", &number) == 1) {
			ck_assert_uint_gt(number, last);
			last = number;
			n++;
		} else {
			ck_assert_int_eq(sscanf(line,
					     "\"msg\":\"%u lines of the log "
					     "are lost",
					     lost),
			    1);
		}
	}
	return n;
}

static void
check_reader_stands_still(void)
{
	unsigned int i, n, lost;

	/* None of these waits: the test would end by its time. */
	for (i = 1; i <= LINES; i++)
		log_info("line %u", i);
	/* Nobody else finds his file not to block. */
	ck_assert_int_eq(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
	read_all();
	n = count_lines(&lost);
	ck_assert_uint_gt(lost, 0);
	ck_assert_uint_eq(n + lost, LINES);
	/* From here on it is as before, and nothing is told twice. */
	got_len = 0;
	log_info("line %u", LINES + 1);
	read_all();
	ck_assert_uint_eq(count_lines(&lost), 1);
	ck_assert_uint_eq(lost, 0);
}

START_TEST (a_pipe_that_nobody_reads) {
	setup_pipe();
	check_reader_stands_still();
	end();
}
END_TEST

START_TEST (a_socket_that_nobody_reads) {
	setup_socket();
	check_reader_stands_still();
	end();
}
END_TEST

/* It does not fit the pipe, so it goes in parts: all of it or nothing. */
START_TEST (long_lines_are_whole) {
	char text[900], error[4000];
	unsigned int i, n = 0;
	char *line, *rest = got;

	setup_pipe();
	ck_assert_int_gt(fcntl(ends[1], F_SETPIPE_SZ, 4096), 0);
	memset(text, 't', sizeof(text) - 1);
	memset(error, 'e', sizeof(error) - 1);
	text[sizeof(text) - 1] = error[sizeof(error) - 1] = '\0';
	for (i = 0; i < 20; i++)
		log_line(LOG_LEVEL_ERROR, NULL, error, "%s", text);
	read_all();
	while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
		ck_assert_ptr_nonnull(strstr(line, error));
		ck_assert_ptr_nonnull(strstr(line, text));
		n++;
	}
	ck_assert_uint_eq(n, 20);
	end();
}
END_TEST

/* At its end agentd waits for the reader, but not for ever. */
START_TEST (the_end_does_not_wait_for_ever) {
	unsigned int i;

	setup_pipe();
	for (i = 1; i <= LINES; i++)
		log_info("line %u", i);
	end();
}
END_TEST

UNIT_MAIN("logsink", a_pipe_that_nobody_reads, a_socket_that_nobody_reads,
    long_lines_are_whole, the_end_does_not_wait_for_ever)
