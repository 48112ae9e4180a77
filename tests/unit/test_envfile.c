/* SPDX-License-Identifier: ISC */
/*
 * systemd's EnvironmentFile= syntax.  Where this machine has systemd's own
 * words on a case (systemd.exec(5)), the case stands here.
 */
#include "common/envfile.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

struct seen {
	char text[1024];
	int stop_at;
	int lines;
};

static int
note(const char *name, const char *value, unsigned int line, void *ctx)
{
	struct seen *s = ctx;
	size_t n = strlen(s->text);

	(void)snprintf(s->text + n, sizeof(s->text) - n, "%u:%s=[%s]", line,
	    name != NULL ? name : "?", value);
	return ++s->lines == s->stop_at ? -ECANCELED : 0;
}

START_TEST (assignments) {
	static const char *const cases[][2] = {
		{ "A=b", "1:A=[b]" },
		{ "A=b\n", "1:A=[b]" },
		{ "A=\nB=\n", "1:A=[]2:B=[]" },
		{ "\n\n  A=b", "3:A=[b]" },
		{ " A = b c \t\r\n", "1:A=[b c]" },
		{ "# A=b\n; B=c\nC=d", "3:C=[d]" },
		{ "#a\\\nB=c", "2:B=[c]" },
		{ "A=b # c", "1:A=[b # c]" },
		{ "A='b \\n\"c'", "1:A=[b \\n\"c]" },
		{ "A=\"b\\\"c\\\\d\\$e\\`f\"", "1:A=[b\"c\\d$e`f]" },
		{ "A=\"b\\nc\"", "1:A=[b\\nc]" },
		{ "A=b\\nc", "1:A=[bnc]" },
		{ "A=b\\\n c\nD=e", "1:A=[b c]3:D=[e]" },
		{ "A=\"b\\\nc\"", "1:A=[bc]" },
		{ "A=\"b\nc\n\"\nD=e", "1:A=[b\nc\n]4:D=[e]" },
		{ "A=\" b \"  ", "1:A=[ b ]" },
		{ "A=\"b\" 'c'", "1:A=[bc]" },
		{ "A=b\"c\"", "1:A=[b\"c\"]" },
		{ "A=b=c", "1:A=[b=c]" },
		{ "A=b\\ ", "1:A=[b ]" },
		{ "A=\\", "1:A=[]" },
		{ "A_1=b", "1:A_1=[b]" },
		{ "", "" },
		{ "\xef\xbb\xbf"
		  "A=b",
		    "1:?=[\xef\xbb\xbf"
		    "A]" },
		{ "A", "1:?=[A]" },
		{ "A\nB=c", "1:?=[A]2:B=[c]" },
		{ "export A=b", "1:?=[export A]" },
		{ "1A=b", "1:?=[1A]" },
		{ "=b", "1:?=[=b]" },
	};
	size_t i;

	for (i = 0; i < nitems(cases); i++) {
		struct seen s = { 0 };
		unsigned int line;
		const char *what;

		ck_assert_int_eq(envfile_parse(cases[i][0], strlen(cases[i][0]),
				     note, &s, &line, &what),
		    0);
		ck_assert_str_eq(s.text, cases[i][1]);
	}
}
END_TEST

START_TEST (what_is_no_text_is_refused) {
	static const struct {
		const char *text;
		size_t len;
		unsigned int line;
	} cases[] = {
		{ "A=b\nC=\"d\nE=f\n", 13, 2 },
		{ "A='b", 4, 1 },
		{ "A=\"b\\", 5, 1 },
		{ "A=b\nC\0=d\n", 9, 2 },
	};
	size_t i;

	for (i = 0; i < nitems(cases); i++) {
		struct seen s = { 0 };
		unsigned int line = 0;
		const char *what = NULL;

		ck_assert_int_eq(envfile_parse(cases[i].text, cases[i].len,
				     note, &s, &line, &what),
		    -EINVAL);
		ck_assert_uint_eq(line, cases[i].line);
		ck_assert_ptr_nonnull(what);
	}
}
END_TEST

START_TEST (the_caller_can_stop) {
	struct seen s = { .stop_at = 1 };
	unsigned int line;
	const char *what;

	ck_assert_int_eq(
	    envfile_parse("A=b\nC=d\n", 8, note, &s, &line, &what), -ECANCELED);
	ck_assert_str_eq(s.text, "1:A=[b]");
}
END_TEST

UNIT_MAIN(
    "envfile", assignments, what_is_no_text_is_refused, the_caller_can_stop)
