/* SPDX-License-Identifier: ISC */
#include "aegisctl/table.h"

#include <string.h>

#include "tests/unit/unit.h"

/* What FILL writes; owned. */
static char *
output_of(void (*fill)(FILE *f))
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(f);
	fill(f);
	ck_assert_int_eq(fclose(f), 0);
	return text;
}

static void
fill_table(FILE *f)
{
	static const char *const headings[] = { "ID", "N", "WHY" };
	struct table t;
	int i;

	table_open(&t, 3, 1 << 1, headings);
	table_add(&t, "long-name");
	table_add(&t, "%d", 7);
	table_add(&t, "a\033[31m\nb");
	table_add(&t, "x");
	table_add(&t, "%d", 12345);
	table_add(&t, "%s", "");
	for (i = 0; i < 3 * 100; i++)
		table_add(&t, "c");
	table_close(&t, f);
}

START_TEST (columns_are_as_wide_as_their_widest) {
	_cleanup_free_ char *text = output_of(fill_table);
	const char *wanted = "ID             N  WHY\n"
			     "long-name      7  a?[31m?b\n"
			     "x          12345  -\n"
			     "c              c  c\n";

	ck_assert_msg(strncmp(text, wanted, strlen(wanted)) == 0, "%s", text);
}
END_TEST

static void
fill_text(FILE *f)
{
	static const char text[] = "one\n\ntwo\033]0;x\007\n\0rest\nlast";

	table_text(f, "  ", text, sizeof(text) - 1);
	table_text(f, "  ", text, 0);
}

START_TEST (text_of_others_does_not_speak_to_the_terminal) {
	_cleanup_free_ char *text = output_of(fill_text);
	const char *p;

	ck_assert_msg(
	    strncmp(text, "  one\n  \n  two?]0;x?\n", 21) == 0, "%s", text);
	ck_assert_ptr_nonnull(strstr(text, "  last\n"));
	for (p = text; *p != '\0'; p++)
		ck_assert(*p == '\n' || (unsigned char)*p >= ' ');
}
END_TEST

START_TEST (counts_have_four_places) {
	static const struct {
		double n;
		const char *text;
	} rows[] = {
		{ 0, "0" },
		{ 17, "17" },
		{ 9999, "9999" },
		{ 10000, "10.0k" },
		{ 123456, "123k" },
		{ 1300000, "1300k" },
		{ 12345678, "12.3M" },
		{ 2e10, "20.0G" },
		{ 18446744073709551615.0, "18447P" },
	};
	char out[16];
	size_t i;

	for (i = 0; i < nitems(rows) - 1; i++) {
		table_count(rows[i].n, out);
		ck_assert_str_eq(out, rows[i].text);
	}
	/* The largest counter there is fits. */
	table_count(rows[i].n, out);
	ck_assert_uint_lt(strlen(out), sizeof(out));
	ck_assert_ptr_nonnull(strpbrk(out, "PE"));
}
END_TEST

UNIT_MAIN("table", columns_are_as_wide_as_their_widest,
    text_of_others_does_not_speak_to_the_terminal, counts_have_four_places)
