/* SPDX-License-Identifier: ISC */
/*
 * bpfd: sentences for people out of libbpf's and the verifier's words
 * (notes.c), and the failure that carries them (failure.c).
 */
#include <errno.h>
#include <string.h>

#include "bpfd/failure.h"
#include "bpfd/notes.h"
#include "unit.h"

START_TEST (lines_are_joined_without_prefix) {
	struct notes n = { 0 };

	notes_add_line(&n, "libbpf: first\n");
	notes_add_line(&n, "second");
	notes_add_line(&n, "\n");
	ck_assert_str_eq(n.text, "first; second");
	ck_assert_str_eq(n.program, "");
}
END_TEST

START_TEST (failed_program_is_found) {
	struct notes n = { 0 };

	notes_add_line(&n, "libbpf: prog 'a': something else\n");
	ck_assert_str_eq(n.program, "");
	notes_add_line(
	    &n, "libbpf: prog 'it_x': BPF program load failed: EACCES\n");
	notes_add_line(&n, "libbpf: prog 'other': failed to load: -13\n");
	ck_assert_str_eq(n.program, "it_x");
}
END_TEST

START_TEST (name_too_long_is_no_name) {
	struct notes n = { 0 };
	char line[256] = "prog '";

	memset(line + 6, 'a', 200);
	strcpy(line + 206, "': BPF program load failed: x");
	notes_add_line(&n, line);
	ck_assert_str_eq(n.program, "");
	memset(&n, 0, sizeof(n));
	notes_add_line(&n, "prog 'unterminated load failed");
	ck_assert_str_eq(n.program, "");
}
END_TEST

START_TEST (text_is_bounded_and_clean) {
	struct notes n = { 0 };
	char line[400];
	int i;

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	for (i = 0; i < 100; i++)
		notes_add_line(&n, line);
	ck_assert_uint_lt(strlen(n.text), sizeof(n.text));
	memset(&n, 0, sizeof(n));
	notes_add_line(&n, "a\033[31mb");
	ck_assert_str_eq(n.text, "a?[31mb");
}
END_TEST

START_TEST (short_log_is_its_own_tail) {
	ck_assert_uint_eq(notes_log_tail("abc\n", 4, 4), 0);
	ck_assert_uint_eq(notes_log_tail("", 0, 4), 0);
}
END_TEST

START_TEST (tail_begins_with_a_line) {
	static const char log[] = "one\ntwo\nthree\n";
	size_t len = sizeof(log) - 1;

	/* nine bytes would begin inside "two" */
	ck_assert_str_eq(log + notes_log_tail(log, len, 9), "three\n");
	ck_assert_str_eq(log + notes_log_tail(log, len, 10), "two\nthree\n");
	/* one line longer than the room: cut, not lost */
	ck_assert_uint_eq(notes_log_tail("abcdefgh\n", 9, 4), 5);
}
END_TEST

START_TEST (reason_is_the_last_line_that_says_something) {
	static const char log[] =
	    "0: (b7) r0 = 0\n"
	    "R4 pointer arithmetic on pkt_end prohibited\n"
	    "verification time 12 usec\n"
	    "stack depth 8\n"
	    "processed 167 insns (limit 1000000) max_states_per_insn 0\n";
	char out[64];

	notes_log_reason(log, sizeof(log) - 1, out, sizeof(out));
	ck_assert_str_eq(out, "R4 pointer arithmetic on pkt_end prohibited");
	notes_log_reason(log, sizeof(log) - 1, out, 11);
	ck_assert_str_eq(out, "R4 pointer");
}
END_TEST

START_TEST (log_without_reason_has_none) {
	char out[64];

	notes_log_reason("", 0, out, sizeof(out));
	ck_assert_str_eq(out, "");
	notes_log_reason("\n\nprocessed 3 insns\n", 20, out, sizeof(out));
	ck_assert_str_eq(out, "");
	notes_log_reason("no newline", 10, out, sizeof(out));
	ck_assert_str_eq(out, "no newline");
}
END_TEST

START_TEST (first_failure_stays) {
	struct failure f = { 0 };

	ck_assert_int_eq(
	    failure_set(&f, WORK_REFUSED, -EINVAL, "map \"%s\"", "x"), -EINVAL);
	ck_assert_int_eq(
	    failure_set(&f, WORK_TRANSIENT, -EBUSY, "later"), -EBUSY);
	ck_assert_int_eq(f.result, WORK_REFUSED);
	ck_assert_str_eq(f.text, "map \"x\"");
	failure_add(&f, "and %d", 2);
	ck_assert_str_eq(f.text, "map \"x\"; and 2");
}
END_TEST

START_TEST (failure_text_is_bounded) {
	struct failure f = { 0 };
	int i;

	(void)failure_set(&f, WORK_REFUSED, -EINVAL, "%s", "start");
	for (i = 0; i < 1000; i++)
		failure_add(&f, "%s", "more and more and more");
	ck_assert_uint_lt(strlen(f.text), sizeof(f.text));
}
END_TEST

START_TEST (what_time_may_heal) {
	static const int heals[] = { ENOMEM, EAGAIN, EBUSY, EMFILE, ENFILE,
		ENODEV, EINTR, ENOBUFS, ENXIO };
	static const int stays[] = { EINVAL, EPERM, EACCES, ENOENT, E2BIG,
		EOPNOTSUPP, ESRCH, ENOSPC };
	size_t i;

	for (i = 0; i < nitems(heals); i++)
		ck_assert_int_eq(failure_kind(-heals[i]), WORK_TRANSIENT);
	for (i = 0; i < nitems(stays); i++)
		ck_assert_int_eq(failure_kind(-stays[i]), WORK_REFUSED);
}
END_TEST

UNIT_MAIN("bpf_notes", lines_are_joined_without_prefix, failed_program_is_found,
    name_too_long_is_no_name, text_is_bounded_and_clean,
    short_log_is_its_own_tail, tail_begins_with_a_line,
    reason_is_the_last_line_that_says_something, log_without_reason_has_none,
    first_failure_stays, failure_text_is_bounded, what_time_may_heal)
