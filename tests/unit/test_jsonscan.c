/* SPDX-License-Identifier: ISC */
#include "common/jsonscan.h"

#include <string.h>

#include "unit.h"

static const struct jsonscan_limits wide = { 16, 1000 };
static char error[JSONSCAN_ERROR_SIZE];

static int
check_len(const char *text, size_t len)
{
	/* A copy of exactly that size: reading past it shows under ASan. */
	char *copy = malloc(len > 0 ? len : 1);
	int r;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, len);
	r = jsonscan_check(copy, len, &wide, error);
	free(copy);
	return r;
}

static int
check(const char *text)
{
	return check_len(text, strlen(text));
}

START_TEST (test_accepts) {
	static const char *const good[] = { "{}", "[]", " [ ] ", "null", "true",
		"false", "0", "-0", "-1", "1.5", "1e5", "1E-5", "0.1e+3",
		"18446744073709551615", "-9223372036854775808", "\"\"",
		"\"a\\n\\u00e9\\ud83d\\ude00\"", "{\"a\":1,\"b\":[1,2,{}]}",
		"\t\r\n{ \"a\" : [ 1 , 2 ] }\n", "{\"a\":{\"a\":1}}",
		"\"\xc3\xa9\xf0\x9f\x98\x80\"", "1e-999" };
	size_t i;

	for (i = 0; i < nitems(good); i++)
		ck_assert_msg(check(good[i]) == 0, "%s: %s", good[i], error);
}
END_TEST

START_TEST (test_refuses_malformed) {
	static const char *const bad[] = { "", " ", "{", "[", "[1", "[1,",
		"[1,]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,}", "[,]",
		"{a:1}", "{'a':1}", "nul", "nulll", "truefalse", "01", "-",
		"+1", "1.", ".5", "1e", "1e+", "0x10", "NaN", "Infinity", "\"",
		"\"a", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "[1 2]", "[]]",
		"{}{}", "1 2", "{1:2}", "[}", "{]", "\"a\"b", "//c\n1",
		"/*c*/1", "[1]\x01" };
	size_t i;

	for (i = 0; i < nitems(bad); i++) {
		ck_assert_msg(
		    check(bad[i]) == -EBADMSG, "accepted: %s", bad[i]);
		ck_assert_msg(error[0] != '\0', "no words for: %s", bad[i]);
	}
}
END_TEST

START_TEST (test_refuses_bytes) {
	ck_assert_int_eq(check("\"a\\u0000b\""), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(error, "NUL"));
	ck_assert_int_eq(check_len("\"a\0b\"", 5), -EBADMSG);
	ck_assert_int_eq(check_len("1\0", 2), -EBADMSG);
	ck_assert_int_eq(check("\"a\nb\""), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(error, "control character 0x0a"));
	ck_assert_int_eq(check("\"\xff\""), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(error, "UTF-8"));
	ck_assert_int_eq(check("\"\xc0\x80\""), -EBADMSG);
	ck_assert_int_eq(check("\"\xed\xa0\x80\""), -EBADMSG);
	ck_assert_int_eq(check("\"\xc3\""), -EBADMSG);
	ck_assert_int_eq(check_len("\"\xc3", 2), -EBADMSG);
	ck_assert_int_eq(check("\"\\ud800\""), -EBADMSG);
	ck_assert_int_eq(check("\"\\udc00\""), -EBADMSG);
	ck_assert_int_eq(check("\"\\ud800\\u0041\""), -EBADMSG);
	ck_assert_int_eq(check("\xef\xbb\xbf{}"), -EBADMSG);
}
END_TEST

START_TEST (test_refuses_numbers) {
	ck_assert_int_eq(check("18446744073709551616"), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(error, "18446744073709551616"));
	ck_assert_int_eq(check("-9223372036854775809"), -EBADMSG);
	ck_assert_int_eq(check("1e999"), -EBADMSG);
	ck_assert_int_eq(check("-1e999"), -EBADMSG);
	ck_assert_int_eq(check("1000000000000000000000000000000000000000000000"
			       "0000000000000000000000000000000000000000000"),
	    -EBADMSG);
}
END_TEST

START_TEST (test_refuses_duplicate_keys) {
	ck_assert_int_eq(check("{\"a\":1,\"b\":2,\"a\":3}"), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(error, "\"a\" twice"));
	/* Spelled differently, the same all the same. */
	ck_assert_int_eq(check("{\"a\":1,\"\\u0061\":2}"), -EBADMSG);
	ck_assert_int_eq(check("{\"/\":1,\"\\/\":2}"), -EBADMSG);
	ck_assert_int_eq(check("{\"\":1,\"\":2}"), -EBADMSG);
	ck_assert_int_eq(
	    check("{\"\xf0\x9f\x98\x80\":1,\"\\ud83d\\ude00\":2}"), -EBADMSG);
	/* Inner ones too, behind an object that was well formed. */
	ck_assert_int_eq(
	    check("{\"x\":{\"a\":1},\"y\":[{\"b\":1,\"b\":1}]}"), -EBADMSG);
	/* In different objects they are different. */
	ck_assert_int_eq(
	    check("{\"a\":{\"a\":{\"a\":1},\"b\":1},\"b\":[{\"a\":1}]}"), 0);
	ck_assert_int_eq(check("{\"ab\":1,\"a\":2,\"abc\":3}"), 0);
}
END_TEST

START_TEST (test_limits) {
	struct jsonscan_limits limits = { 2, 5 };
	char deep[2 * 200];

	ck_assert_int_eq(jsonscan_check("[[]]", 4, &limits, error), 0);
	ck_assert_int_eq(jsonscan_check("[[[]]]", 6, &limits, error), -E2BIG);
	ck_assert_int_eq(jsonscan_check("[1,2,3,4]", 9, &limits, error), 0);
	ck_assert_int_eq(
	    jsonscan_check("[1,2,3,4,5]", 11, &limits, error), -E2BIG);
	limits.depth = 0;
	ck_assert_int_eq(jsonscan_check("\"s\"", 3, &limits, error), 0);
	ck_assert_int_eq(jsonscan_check("[]", 2, &limits, error), -E2BIG);
	/* However much a caller allows, the stack is bounded. */
	limits.depth = 100000;
	limits.values = 100000;
	memset(deep, '[', 200);
	memset(deep + 200, ']', 200);
	ck_assert_int_eq(jsonscan_check(deep, 400, &limits, error), -E2BIG);
}
END_TEST

UNIT_MAIN("jsonscan", test_accepts, test_refuses_malformed, test_refuses_bytes,
    test_refuses_numbers, test_refuses_duplicate_keys, test_limits)
