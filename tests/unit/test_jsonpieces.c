/* SPDX-License-Identifier: ISC */
#include "common/jsonpieces.h"

#include <string.h>

#include "unit.h"

static struct jsonpieces it;
static struct jsonslice key, value;

static int
next(const char *want_key, const char *want_value)
{
	int r = jsonpieces_next(&it, &key, &value);

	if (r != 1)
		return r;
	ck_assert_uint_eq(value.len, strlen(want_value));
	ck_assert_mem_eq(value.text, want_value, value.len);
	if (want_key == NULL)
		ck_assert_ptr_null(key.text);
	else
		ck_assert_msg(jsonslice_is(&key, want_key), "%.*s",
		    (int)key.len, key.text);
	return 1;
}

static int
open_text(const char *text)
{
	return jsonpieces_open(&it, text, strlen(text));
}

START_TEST (test_pieces) {
	ck_assert_int_eq(
	    open_text(" [ 1 , {\"a\":[1,2]} ,\"],\\\"\" , [ ] ] "), 0);
	ck_assert_int_eq(next(NULL, "1"), 1);
	ck_assert_int_eq(next(NULL, "{\"a\":[1,2]}"), 1);
	ck_assert_int_eq(next(NULL, "\"],\\\"\""), 1);
	ck_assert_int_eq(next(NULL, "[ ]"), 1);
	ck_assert_int_eq(next(NULL, ""), 0);
	ck_assert_int_eq(next(NULL, ""), 0);
	ck_assert_int_eq(open_text("{\"a\": 1, \"b{\" :{} }"), 0);
	ck_assert_int_eq(next("a", "1"), 1);
	ck_assert_int_eq(next("b{", "{}"), 1);
	ck_assert_int_eq(next(NULL, ""), 0);
	ck_assert_int_eq(open_text("[]"), 0);
	ck_assert_int_eq(next(NULL, ""), 0);
}
END_TEST

START_TEST (test_pieces_malformed) {
	static const char *const bad[] = { "[1,]", "[", "[,1]", "[1", "[\"a]",
		"{\"a\"}", "{\"a\":}", "{1:2}", "[]x", "[1}", "{]", "[\"\\" };
	size_t i, n;
	int r;

	ck_assert_int_eq(open_text("1"), -EBADMSG);
	ck_assert_int_eq(open_text(""), -EBADMSG);
	for (i = 0; i < nitems(bad); i++) {
		ck_assert_int_eq(open_text(bad[i]), 0);
		for (n = 0; n < 10; n++) {
			r = jsonpieces_next(&it, &key, &value);
			if (r <= 0)
				break;
		}
		ck_assert_msg(r == -EBADMSG, "accepted: %s", bad[i]);
	}
}
END_TEST

UNIT_MAIN("jsonpieces", test_pieces, test_pieces_malformed)
