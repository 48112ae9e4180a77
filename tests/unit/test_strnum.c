/* SPDX-License-Identifier: ISC */
#include "common/strnum.h"

#include <string.h>

#include "tests/unit/unit.h"

START_TEST (integers_are_strict) {
	static const char *const bad[] = { "", " 1", "1 ", "+1", "1x", "0x",
		"--1", "1.0", "0b1" };
	uint64_t u = 7;
	int64_t i = 7;
	size_t n;

	for (n = 0; n < nitems(bad); n++) {
		ck_assert_int_eq(strnum_parse_u64(bad[n], 0, 9, &u), -EINVAL);
		ck_assert_int_eq(strnum_parse_i64(bad[n], -9, 9, &i), -EINVAL);
	}
	ck_assert_uint_eq(u, 7);
	ck_assert_int_eq(i, 7);
	ck_assert_int_eq(strnum_parse_u64("-1", 0, 9, &u), -EINVAL);
	ck_assert_int_eq(strnum_parse_u64("10", 0, 9, &u), -ERANGE);
	ck_assert_int_eq(
	    strnum_parse_u64("18446744073709551616", 0, UINT64_MAX, &u),
	    -ERANGE);
	ck_assert_int_eq(
	    strnum_parse_u64("0xffffffffffffffff", 0, UINT64_MAX, &u), 0);
	ck_assert_uint_eq(u, UINT64_MAX);
	ck_assert_int_eq(
	    strnum_parse_i64("-9223372036854775808", INT64_MIN, INT64_MAX, &i),
	    0);
	ck_assert_int_eq(i, INT64_MIN);
	ck_assert_int_eq(
	    strnum_parse_i64("9223372036854775808", INT64_MIN, INT64_MAX, &i),
	    -ERANGE);
}
END_TEST

START_TEST (doubles_are_plain_decimals) {
	static const char *const bad[] = { "", ".", "-", "inf", "nan", "1e3",
		"0x1", "1,5", " 1", "1.2.3" };
	double d = 7;
	size_t n;

	for (n = 0; n < nitems(bad); n++)
		ck_assert_int_eq(
		    strnum_parse_double(bad[n], -1e9, 1e9, &d), -EINVAL);
	ck_assert(d == 7);
	ck_assert_int_eq(strnum_parse_double("80.5", 0, 100, &d), 0);
	ck_assert(d == 80.5);
	ck_assert_int_eq(strnum_parse_double("100.1", 0, 100, &d), -ERANGE);
}
END_TEST

START_TEST (hex_is_of_the_exact_length) {
	uint8_t b[2] = { 0 };
	char s[5];

	ck_assert_int_eq(strnum_parse_hex("aBcD", b, 2), 0);
	ck_assert_uint_eq(b[0], 0xab);
	ck_assert_uint_eq(b[1], 0xcd);
	ck_assert_int_eq(strnum_parse_hex("abc", b, 2), -EINVAL);
	ck_assert_int_eq(strnum_parse_hex("abcde", b, 2), -EINVAL);
	ck_assert_int_eq(strnum_parse_hex("abcg", b, 2), -EINVAL);
	strnum_format_hex(b, 2, s);
	ck_assert_str_eq(s, "abcd");
}
END_TEST

START_TEST (copies_fit_or_say_so) {
	char b[4] = "xyz";

	ck_assert_int_eq(str_copy(b, sizeof(b), "ab"), 0);
	ck_assert_int_eq(memcmp(b, "ab\0\0", 4), 0);
	ck_assert_int_eq(str_copy(b, sizeof(b), "abcd"), -ENAMETOOLONG);
	ck_assert_str_eq(b, "");
	/* Cut between characters: the two-byte one does not fit whole. */
	str_copy_cut(b, sizeof(b), "ab\xc3\xa9");
	ck_assert_str_eq(b, "ab");
}
END_TEST

START_TEST (identifiers_are_safe_everywhere) {
	static const char good[][16] = { "a", "host-1.example", "sha:a@b+c",
		"_x" };
	static const char bad[][16] = { "", ".", "..", ".a", "-a", "a/b", "a b",
		"a*", "a>", "a\n", "\xc3\xa9" };
	char unterminated[4] = { 'a', 'b', 'c', 'd' };
	size_t n;

	for (n = 0; n < nitems(good); n++)
		ck_assert(str_is_identifier(good[n], sizeof(good[n])));
	for (n = 0; n < nitems(bad); n++)
		ck_assert(!str_is_identifier(bad[n], sizeof(bad[n])));
	ck_assert(!str_is_identifier(unterminated, sizeof(unterminated)));
}
END_TEST

START_TEST (text_is_utf8_without_controls) {
	static const char bad[][8] = { "a\n", "\x1b[m", "\x7f", "\xc2\x85",
		"\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82" };
	char s[8];
	size_t n;

	ck_assert(str_is_text("gr\xc3\xbc\xc3\x9f", 7));
	for (n = 0; n < nitems(bad); n++) {
		ck_assert(!str_is_text(bad[n], sizeof(bad[n])));
		memcpy(s, bad[n], sizeof(s));
		str_scrub(s, sizeof(s));
		ck_assert(str_is_text(s, sizeof(s)));
	}
}
END_TEST

UNIT_MAIN("strnum", integers_are_strict, doubles_are_plain_decimals,
    hex_is_of_the_exact_length, copies_fit_or_say_so,
    identifiers_are_safe_everywhere, text_is_utf8_without_controls)
