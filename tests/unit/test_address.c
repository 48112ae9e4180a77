/* SPDX-License-Identifier: ISC */
/* Addresses, prefixes and byte strings as people write them, and as not. */
#include "verifyd/address.h"

#include <string.h>

#include "tests/unit/unit.h"

/* A text of N letters C; overwritten by the next call. */
static const char *
many(char c, size_t n)
{
	static char text[4097];

	ck_assert_uint_lt(n, sizeof(text));
	memset(text, c, n);
	text[n] = '\0';
	return text;
}

/* ---- addresses ---- */

START_TEST (addresses_by_their_form) {
	static const struct {
		const char *text;
		enum address_kind kind;
		uint8_t bytes[16];
	} rows[] = {
		{ "0.0.0.0", ADDRESS_IPV4, { 0 } },
		{ "10.1.2.255", ADDRESS_IPV4, { 10, 1, 2, 255 } },
		{ "::", ADDRESS_IPV6, { 0 } },
		{ "2001:DB8::1", ADDRESS_IPV6,
		    { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } },
		{ "::ffff:1.2.3.4", ADDRESS_IPV6,
		    { [10] = 0xff, 0xff, 1, 2, 3, 4 } },
		{ "02:00:5e:10:00:fF", ADDRESS_MAC,
		    { 0x02, 0x00, 0x5e, 0x10, 0x00, 0xff } },
		{ "02-00-5e-10-00-ff", ADDRESS_MAC,
		    { 0x02, 0x00, 0x5e, 0x10, 0x00, 0xff } },
		/* Eight groups are IPv6, though they are pairs. */
		{ "00:11:22:33:44:55:66:77", ADDRESS_IPV6,
		    { 0, 0x00, 0, 0x11, 0, 0x22, 0, 0x33, 0, 0x44, 0, 0x55, 0,
			0x66, 0, 0x77 } },
	};
	uint8_t out[16];
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		memset(out, 0, sizeof(out));
		ck_assert_msg(address_parse(rows[i].text, out) == rows[i].kind,
		    "%s", rows[i].text);
		ck_assert_mem_eq(out, rows[i].bytes, sizeof(out));
	}
}
END_TEST

START_TEST (what_is_no_address) {
	static const char *const texts[] = { "", " ", "10.0.0", "10.0.0.256",
		"10.0.0.1 ", " 10.0.0.1", "010.0.0.1", "0x0a.0.0.1",
		"10.0.0.1.", "-1.0.0.0", "10.0.0.1/8", "1.2.3.4.5",
		":::", "::1%eth0", "::1/64", "1::2::3",
		"fffff::", "g::", "02:00:5e:10:00", "02:00:5e:10:00:ff:01",
		"02:00:5e:10:00-ff", "02-00-5e-10-00:ff", "02.00.5e.10.00.ff",
		"0200.5e10.00ff", "02005e1000ff", "2:0:5e:10:0:ff",
		"02:00:5e:10:00:fg", "02:00:5e:10:00:ff:", ":02:00:5e:10:00:ff",
		"02:00:5e:10:00: f", "02:00:5e:10:00:+f", "localhost" };
	uint8_t out[16];
	size_t i;

	for (i = 0; i < nitems(texts); i++)
		ck_assert_msg(address_parse(texts[i], out) == ADDRESS_NONE,
		    "%s", texts[i]);
	ck_assert_int_eq(address_parse(many(':', 4096), out), ADDRESS_NONE);
	ck_assert_int_eq(address_parse(many('1', 4096), out), ADDRESS_NONE);
}
END_TEST

START_TEST (kinds_have_a_length_and_a_name) {
	static const struct {
		enum address_kind kind;
		size_t len;
		const char *name;
	} rows[] = {
		{ ADDRESS_NONE, 0, "no" },
		{ ADDRESS_IPV4, 4, "an IPv4" },
		{ ADDRESS_IPV6, 16, "an IPv6" },
		{ ADDRESS_MAC, 6, "a MAC" },
	};
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		ck_assert_uint_eq(address_len(rows[i].kind), rows[i].len);
		ck_assert_str_eq(address_kind_name(rows[i].kind), rows[i].name);
	}
}
END_TEST

/* ---- prefixes ---- */

START_TEST (prefixes_and_their_bounds) {
	static const struct {
		const char *text;
		enum address_kind kind;
		uint32_t prefix;
	} rows[] = {
		{ "10.0.0.0/0", ADDRESS_IPV4, 0 },
		{ "10.0.0.0/31", ADDRESS_IPV4, 31 },
		{ "10.0.0.0/32", ADDRESS_IPV4, 32 },
		{ "10.0.0.0/33", ADDRESS_NONE, 0 },
		{ "10.0.0.1", ADDRESS_IPV4, 32 },
		{ "::/0", ADDRESS_IPV6, 0 },
		{ "2001:db8::/127", ADDRESS_IPV6, 127 },
		{ "2001:db8::/128", ADDRESS_IPV6, 128 },
		{ "2001:db8::/129", ADDRESS_NONE, 0 },
		{ "2001:db8::1", ADDRESS_IPV6, 128 },
		{ "10.0.0.0/", ADDRESS_NONE, 0 },
		{ "/8", ADDRESS_NONE, 0 },
		{ "/", ADDRESS_NONE, 0 },
		{ "", ADDRESS_NONE, 0 },
		{ "10.0.0.0/8/8", ADDRESS_NONE, 0 },
		{ "10.0.0.0/-1", ADDRESS_NONE, 0 },
		{ "10.0.0.0/+8", ADDRESS_NONE, 0 },
		{ "10.0.0.0/ 8", ADDRESS_NONE, 0 },
		{ "10.0.0.0/8 ", ADDRESS_NONE, 0 },
		{ "10.0.0.0/0x8", ADDRESS_NONE, 0 },
		{ "10.0.0.0/255.0.0.0", ADDRESS_NONE, 0 },
		{ "10.0.0.0/4294967304", ADDRESS_NONE, 0 },
		{ "10.0.0.0/18446744073709551624", ADDRESS_NONE, 0 },
		/* Tries have no place for these. */
		{ "02:00:5e:10:00:ff", ADDRESS_NONE, 0 },
		{ "02:00:5e:10:00:ff/24", ADDRESS_NONE, 0 },
	};
	uint8_t out[16];
	uint32_t prefix;
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		ck_assert_msg(address_parse_prefix(
				  rows[i].text, out, &prefix) == rows[i].kind,
		    "%s", rows[i].text);
		if (rows[i].kind != ADDRESS_NONE)
			ck_assert_uint_eq(prefix, rows[i].prefix);
	}
}
END_TEST

START_TEST (an_address_of_any_length_before_the_slash) {
	char text[4097 + 2];
	uint8_t out[16];
	uint32_t prefix;
	size_t n;

	for (n = 0; n <= 4096; n++) {
		(void)snprintf(text, sizeof(text), "%s/8", many('1', n));
		ck_assert_int_eq(
		    address_parse_prefix(text, out, &prefix), ADDRESS_NONE);
	}
}
END_TEST

/* ---- bytes ---- */

START_TEST (bytes_in_any_of_their_forms) {
	static const char *const texts[] = { "0aFf01", "0x0aff01", "0X0AFF01",
		"0a:ff:01", "0A-ff-01" };
	static const uint8_t bytes[] = { 0x0a, 0xff, 0x01 };
	uint8_t out[4];
	size_t i, have;

	for (i = 0; i < nitems(texts); i++) {
		memset(out, 0x55, sizeof(out));
		ck_assert_msg(address_parse_bytes(texts[i], out, 3, &have) == 0,
		    "%s", texts[i]);
		ck_assert_mem_eq(out, bytes, sizeof(bytes));
		ck_assert_uint_eq(out[3], 0x55);
	}
}
END_TEST

START_TEST (another_length_is_told) {
	static const struct {
		const char *text;
		size_t have;
	} rows[] = {
		{ "0a", 1 },
		{ "0x0aff", 2 },
		{ "0a:ff", 2 },
		{ "0aff0102", 4 },
		{ "0a-ff-01-02", 4 },
	};
	uint8_t out[4];
	size_t i, have;

	for (i = 0; i < nitems(rows); i++) {
		memset(out, 0x55, sizeof(out));
		ck_assert_msg(
		    address_parse_bytes(rows[i].text, out, 3, &have) == -ERANGE,
		    "%s", rows[i].text);
		ck_assert_uint_eq(have, rows[i].have);
		ck_assert_uint_eq(out[0], 0x55);
	}
	ck_assert_int_eq(
	    address_parse_bytes(many('a', 4096), out, 3, &have), -ERANGE);
	ck_assert_uint_eq(have, 2048);
}
END_TEST

START_TEST (what_is_no_hexadecimal) {
	static const char *const texts[] = { "", "0x", "0a0", "0a0b0", "0a0b0g",
		"0a 0b", " 0a0b0c", "0a0b0c ", "0x0x0a", "0a:0b:0",
		"0a:0b:", ":0a:0b", "0a:0b-0c", "0a::0b:", "0a.0b.0c",
		"0x0a:0b:0c", "+a0b0c", "0a:0b:+c", "\xc3\xa4", "0a:", ":",
		"-" };
	uint8_t out[4] = { 0x55 };
	size_t i, have;

	for (i = 0; i < nitems(texts); i++) {
		ck_assert_msg(
		    address_parse_bytes(texts[i], out, 3, &have) == -EINVAL,
		    "%s", texts[i]);
		ck_assert_uint_eq(out[0], 0x55);
	}
	ck_assert_int_eq(
	    address_parse_bytes(many(':', 4096), out, 3, &have), -EINVAL);
}
END_TEST

UNIT_MAIN("address", addresses_by_their_form, what_is_no_address,
    kinds_have_a_length_and_a_name, prefixes_and_their_bounds,
    an_address_of_any_length_before_the_slash, bytes_in_any_of_their_forms,
    another_length_is_told, what_is_no_hexadecimal)
