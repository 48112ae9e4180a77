/* SPDX-License-Identifier: ISC */
#include "common/log.h"

#include <event2/event.h>
#include <string.h>
#include <sys/wait.h>

#include "common/memfd.h"
#include "common/msg.h"
#include "tests/unit/unit.h"

static char captured[16384];

/* What goes to FD from here on lies in a memfd; end_capture() reads it. */
static int
begin_capture(int fd)
{
	int file = memfd_create_buffer("captured");

	ck_assert_int_ge(file, 0);
	ck_assert_int_ge(dup2(file, fd), 0);
	return file;
}

static const char *
end_capture(int file)
{
	ssize_t n = pread(file, captured, sizeof(captured) - 1, 0);

	ck_assert_int_ge(n, 0);
	captured[n] = '\0';
	return captured;
}

static unsigned int
count(const char *s, char c)
{
	unsigned int n = 0;

	for (; *s != '\0'; s++)
		n += *s == c;
	return n;
}

#define assert_has(text, part)                                                 \
	ck_assert_msg(strstr(text, part) != NULL, "'%s' lacks '%s'", text, part)

START_TEST (line_is_one_json_object) {
	int file = begin_capture(STDOUT_FILENO);
	const char *line;

	log_open_stdout("agentd", "host-1", false);
	log_line(LOG_LEVEL_WARN, "art-1", "broken \"badly\"", "a %s", "b\\c");
	line = end_capture(file);
	ck_assert_uint_eq(count(line, '\n'), 1);
	assert_has(line, "{\"time\":\"20");
	assert_has(line, "\"level\":\"warn\"");
	assert_has(line, "\"msg\":\"a b\\\\c\"");
	assert_has(line, "\"host_id\":\"host-1\"");
	assert_has(line, "\"service\":\"aegisflux-agent\"");
	assert_has(line, "\"component\":\"agentd\"");
	assert_has(line, "\"artifact_id\":\"art-1\"");
	assert_has(line, "\"error\":\"broken \\\"badly\\\"\"}\n");
}
END_TEST

START_TEST (nothing_outside_makes_a_second_line) {
	int file = begin_capture(STDOUT_FILENO);
	const char *line;

	log_open_stdout("agentd", "host-1", false);
	log_line(LOG_LEVEL_INFO, "a\nb", "e\n{\"level\":\"x\"}\x80\xff",
	    "t\n\x1b[2J\x07 \xc3\x28");
	line = end_capture(file);
	ck_assert_uint_eq(count(line, '\n'), 1);
	ck_assert_uint_eq(count(line, '\x1b'), 0);
	/* what is no UTF-8 is no JSON */
	ck_assert_uint_eq(count(line, '\x80'), 0);
	ck_assert_uint_eq(count(line, '\xff'), 0);
	ck_assert_uint_eq(count(line, '\xc3'), 0);
}
END_TEST

START_TEST (a_terminal_is_not_commanded) {
	int file = begin_capture(STDERR_FILENO);
	const char *line;

	log_open_stdout("agentd", "host-1", true);
	log_line(LOG_LEVEL_ERROR, "a\x1b[1m", "e\x1b]0;title\x07", "t");
	line = end_capture(file);
	ck_assert_uint_eq(count(line, '\x1b'), 0);
	ck_assert_uint_eq(count(line, '\x07'), 0);
	assert_has(line, "error agentd: t");
}
END_TEST

START_TEST (many_lines_are_one_field) {
	static const char lines[] = "1: \"a\"\n\n2\x1b[1m\xff\tb\nrest";
	int file = begin_capture(STDOUT_FILENO);
	const char *line;

	log_open_stdout("agentd", "host-1", false);
	log_line_with(LOG_LEVEL_ERROR, "art-1", "bad", "verifier_msg", lines,
	    sizeof(lines) - 1, "a %d", 1);
	log_line_with(
	    LOG_LEVEL_ERROR, "art-1", "bad", "verifier_msg", NULL, 0, "b");
	line = end_capture(file);
	ck_assert_uint_eq(count(line, '\n'), 2);
	assert_has(line,
	    "\"error\":\"bad\",\"verifier_msg\":"
	    "\"1: \\\"a\\\"\\n\\n2?[1m??b\\nrest\"}\n");
	assert_has(line, "\"error\":\"bad\"}\n");

	/* for people: none of them looks like a line of ours */
	file = begin_capture(STDERR_FILENO);
	log_open_stdout("agentd", "host-1", true);
	log_line_with(LOG_LEVEL_ERROR, NULL, "bad", "verifier_msg", lines,
	    sizeof(lines) - 1, "a");
	line = end_capture(file);
	assert_has(line, "error agentd: a: bad\n    1: \"a\"\n    \n    2?[1m");
	assert_has(line, "b\n    rest\n");
	ck_assert_uint_eq(count(line, '\x1b'), 0);
}
END_TEST

START_TEST (levels_are_kept) {
	int file = begin_capture(STDOUT_FILENO);
	enum log_level level;

	log_open_stdout("agentd", "host-1", false);
	log_set_level(LOG_LEVEL_WARN);
	ck_assert_uint_eq(log_get_level(), LOG_LEVEL_WARN);
	log_debug("no");
	log_info("no");
	ck_assert_str_eq(end_capture(file), "");
	log_warn("yes");
	log_error("yes");
	ck_assert_uint_eq(count(end_capture(file), '\n'), 2);
	ck_assert_int_eq(log_level_parse("error", &level), 0);
	ck_assert_uint_eq(level, LOG_LEVEL_ERROR);
	ck_assert_int_eq(log_level_parse("Error", &level), -EINVAL);
	ck_assert_int_eq(log_level_parse("", &level), -EINVAL);
	ck_assert_str_eq(log_level_name(LOG_LEVEL_DEBUG), "debug");
	ck_assert_str_eq(log_level_name(LOG_LEVEL_MAX), "unknown");
}
END_TEST

static int
keep_line(struct imsg *m, void *ctx)
{
	*(struct msg_worker_log *)ctx = *msg_get_WORKER_LOG(m);
	return 0;
}

static void
ignore_end(int reason, const char *text, void *ctx)
{
}

START_TEST (workers_line_goes_to_agentd) {
	static imsg_handler handlers[MSG_TYPE_MAX] = {
		[MSG_WORKER_LOG] = keep_line,
	};
	struct event_base *base = event_base_new();
	struct imsg_channel *worker, *agentd;
	struct msg_worker_log got = { 0 };
	char text[1000];
	int sv[2];

	ck_assert_int_eq(imsg_socketpair(sv), 0);
	ck_assert_int_eq(imsg_open(&agentd, base, sv[0], PROC_AGENTD,
			     PROC_VERIFY, handlers, ignore_end, &got),
	    0);
	ck_assert_int_eq(imsg_open(&worker, base, sv[1], PROC_VERIFY,
			     PROC_AGENTD, handlers, ignore_end, NULL),
	    0);
	log_open_channel(worker);
	log_line(LOG_LEVEL_ERROR, "art-1", "why\n", "what\x1b");
	imsg_drain(agentd);
	ck_assert_uint_eq(got.level, LOG_LEVEL_ERROR);
	ck_assert_str_eq(got.artifact_id, "art-1");
	ck_assert_str_eq(got.error, "why?");
	ck_assert_str_eq(got.text, "what?");
	/* cut to what the message holds, and still text */
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	log_info("%s", text);
	imsg_drain(agentd);
	ck_assert_uint_eq(strlen(got.text), sizeof(got.text) - 1);
	ck_assert(MSG_TEXT_OK(got.text));
	log_open_channel(NULL);
	imsg_free(worker);
	imsg_free(agentd);
	event_base_free(base);
}
END_TEST

START_TEST (fatal_says_why_and_exits) {
	int file = begin_capture(STDOUT_FILENO), status;
	pid_t pid;

	log_open_stdout("agentd", "host-1", false);
	pid = fork();
	if (pid == 0)
		fatal("no %s", "way");
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	assert_has(end_capture(file), "\"msg\":\"no way\"");
}
END_TEST

UNIT_MAIN("log", line_is_one_json_object, nothing_outside_makes_a_second_line,
    a_terminal_is_not_commanded, many_lines_are_one_field, levels_are_kept,
    workers_line_goes_to_agentd, fatal_says_why_and_exits)
