/* SPDX-License-Identifier: ISC */
#include "common/pubkey.h"

#include <string.h>

#include "tests/unit/unit.h"

/* RFC 8410's example key: DER, and the 32 bytes that end it. */
#define DER "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
#define RAW "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
#define PEM "-----BEGIN PUBLIC KEY-----\n" DER "\n-----END PUBLIC KEY-----\n"

static void
check_form(const char *value, const char *pem)
{
	_cleanup_free_ char *got = NULL;
	const char *what = "";

	ck_assert_msg(
	    pubkey_to_pem(value, &got, &what) == 0, "%s: %s", value, what);
	ck_assert_str_eq(got, pem);
	ck_assert_int_eq(pubkey_to_pem(value, NULL, &what), 0);
}

static void
check_refused(const char *value, const char *words)
{
	const char *what = "";
	char *got = NULL;

	ck_assert_int_eq(pubkey_to_pem(value, &got, &what), -EINVAL);
	ck_assert_ptr_null(got);
	ck_assert_msg(strstr(what, words) != NULL, "%s: %s", value, what);
	ck_assert_int_eq(pubkey_to_pem(value, NULL, &what), -EINVAL);
}

START_TEST (every_form_is_the_same_key) {
	check_form(PEM, PEM);
	check_form(DER, PEM);
	check_form(RAW, PEM);
	/* Unpadded, and broken into lines. */
	check_form("Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE", PEM);
	check_form("Gb9ECWmEzf6FQbrBZ9w7\n lshQhqowtrbLDFw4rXAxZuE=\r\n", PEM);
	/* An environment file has no lines: they are written out. */
	check_form("-----BEGIN PUBLIC KEY-----\\n" DER
		   "\\n-----END PUBLIC KEY-----",
	    PEM);
	check_form("-----BEGIN PUBLIC KEY-----\\r\\n" DER
		   "\\r\\n-----END PUBLIC KEY-----\\r\\n",
	    PEM);
	/* A bundle stays one. */
	check_form(PEM PEM, PEM PEM);
}
END_TEST

START_TEST (what_is_no_public_key_is_refused) {
	check_refused("-----BEGIN PRIVATE KEY-----\nx\n"
		      "-----END PRIVATE KEY-----\n",
	    "PRIVATE key");
	check_refused("-----BEGIN PUBLIC KEY-----\n" DER, "whole");
	check_refused("-----BEGIN CERTIFICATE-----\nx\n", "whole");
	check_refused("", "32 bytes");
	check_refused("nonsense!", "32 bytes");
	check_refused("AAAA", "32 bytes");
	check_refused("A", "32 bytes");
	check_refused("AAAA====", "32 bytes");
	check_refused("AA=A", "32 bytes");
	/* 33 bytes are no raw key; DER that is cut short is none. */
	check_refused("Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuEA", "DER");
	check_refused(
	    "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZg==",
	    "DER");
	check_refused(DER "AAAA", "DER");
}
END_TEST

START_TEST (long_der_has_its_length_in_more_bytes) {
	/* SEQUENCE of 0x0100 bytes: 260 in all, as base64 348 characters. */
	static const unsigned char head[] = { 0x30, 0x82, 0x01, 0x00 };
	char text[349], *p;
	const char *what = "";
	_cleanup_free_ char *pem = NULL, *body = NULL;
	size_t lines = 0, longest = 0, n;

	memset(text, 'A', sizeof(text) - 1);
	text[348] = '\0';
	/* 30 82 01, 00 00 00 ... */
	memcpy(text, "MIIB", 4);
	memcpy(text + 344, "AAA=", 4);
	ck_assert_uint_eq(head[1], 0x82);
	ck_assert_msg(pubkey_to_pem(text, &pem, &what) == 0, "%s", what);
	/* Lines of 64. */
	body = strdup(pem);
	for (p = strtok(body, "\n"); p != NULL; p = strtok(NULL, "\n")) {
		n = strlen(p);
		longest = n > longest ? n : longest;
		lines++;
	}
	ck_assert_uint_eq(longest, 64);
	ck_assert_uint_eq(lines, 2 + 6);
	text[3] = 'C';
	ck_assert_int_eq(pubkey_to_pem(text, NULL, &what), -EINVAL);
}
END_TEST

START_TEST (files_are_named_in_two_ways) {
	ck_assert(pubkey_is_file("file:/etc/key.pem"));
	ck_assert(!pubkey_is_file("/etc/key.pem"));
	ck_assert(!pubkey_is_file(RAW));
	ck_assert_str_eq(pubkey_file("file:/etc/key.pem"), "/etc/key.pem");
	ck_assert_str_eq(pubkey_file("file:///etc/key.pem"), "/etc/key.pem");
}
END_TEST

UNIT_MAIN("pubkey", every_form_is_the_same_key,
    what_is_no_public_key_is_refused, long_der_has_its_length_in_more_bytes,
    files_are_named_in_two_ways)
