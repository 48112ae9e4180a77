/* SPDX-License-Identifier: ISC */
#include "fetchd/vaultkeys.h"

#include <string.h>

#include "unit.h"

#define ED1 "uJ8gk3kGqVX3Vb8z9bm3BzQrWQqGxu0v4bqyR1g1nEk="
#define ED2 "Gx9m2mXkQqgVX3Vb8z9bm3BzQrWQqGxu0v4bqyR1g1k="

static struct keyset_header *records;
static size_t records_len;
static struct keyset set;
static char error[VAULTKEYS_ERROR_SIZE];

static int
parse(const char *text)
{
	const char *what;
	int r;

	free(records);
	records = NULL;
	r = vaultkeys_parse(text, strlen(text), &records, &records_len, error);
	if (r == 0)
		ck_assert_msg(
		    keyset_check(records, records_len, &set, &what) == 0, "%s",
		    what);
	return r;
}

START_TEST (test_transit) {
	/* As Vault's documentation shows a Transit key of two versions. */
	ck_assert_msg(parse("{\"request_id\":\"x\",\"lease_id\":\"\",\"data\":{"
			    "\"allow_plaintext_backup\":false,\"keys\":{"
			    "\"2\":{\"creation_time\":\"2026-01-01T00:00:00Z\","
			    "\"name\":\"ed25519\",\"public_key\":\"" ED2 "\"},"
			    "\"1\":{\"creation_time\":\"2025-01-01T00:00:00Z\","
			    "\"name\":\"ed25519\",\"public_key\":\"" ED1 "\"}},"
			    "\"latest_version\":2,\"min_decryption_version\":2,"
			    "\"name\":\"bpf-registry\",\"type\":\"ed25519\"},"
			    "\"warnings\":null}") == 0,
	    "%s", error);
	ck_assert_uint_eq(set.header->key_count, 2);
	ck_assert_uint_eq(set.header->min_version, 2);
	ck_assert_uint_eq(set.keys[0].version, 1);
	ck_assert_str_eq(set.keys[0].text, ED1);
	ck_assert_uint_eq(set.keys[1].version, 2);
	ck_assert_uint_eq(set.keys[1].text_len, strlen(ED2));
}
END_TEST

START_TEST (test_transit_pem) {
	ck_assert_int_eq(
	    parse("{\"data\":{\"keys\":{\"10\":{\"public_key\":"
		  "\"-----BEGIN PUBLIC KEY-----\\nMFkw\\n"
		  "-----END PUBLIC KEY-----\"}},\"type\":\"ecdsa-p256\"}}"),
	    0);
	ck_assert_uint_eq(set.keys[0].version, 10);
	ck_assert_uint_eq(set.header->min_version, 0);
	ck_assert_ptr_nonnull(strstr(set.keys[0].text, "KEY-----\nMFkw\n"));
}
END_TEST

START_TEST (test_kv) {
	ck_assert_int_eq(
	    parse("{\"data\":{\"data\":{\"public_key\":\"" ED1 "\"},"
		  "\"metadata\":{\"version\":7}}}"),
	    0);
	ck_assert_uint_eq(set.header->key_count, 1);
	ck_assert_uint_eq(set.keys[0].version, 1);
	ck_assert_str_eq(set.keys[0].text, ED1);
	/* KV version 1 has one "data" less. */
	ck_assert_int_eq(parse("{\"data\":{\"public_key\":\"" ED1 "\"}}"), 0);
	ck_assert_str_eq(set.keys[0].text, ED1);
}
END_TEST

START_TEST (test_symmetric_key_is_named) {
	ck_assert_int_eq(parse("{\"data\":{\"keys\":{\"1\":1442851412},"
			       "\"type\":\"aes256-gcm96\"}}"),
	    -EBADMSG);
	ck_assert_ptr_nonnull(strstr(error, "aes256-gcm96"));
}
END_TEST

START_TEST (test_malformed) {
	static const char *const bad[] = { "", "null", "[]", "{}", "{",
		"{\"data\":null}", "{\"data\":[]}", "{\"data\":{}}",
		"{\"data\":{\"keys\":{}}}", "{\"data\":{\"keys\":[]}}",
		"{\"data\":{\"keys\":{\"0\":{\"public_key\":\"x\"}}}}",
		"{\"data\":{\"keys\":{\"01\":{\"public_key\":\"x\"}}}}",
		"{\"data\":{\"keys\":{\"0x1\":{\"public_key\":\"x\"}}}}",
		"{\"data\":{\"keys\":{\"a\":{\"public_key\":\"x\"}}}}",
		"{\"data\":{\"keys\":{\"4294967296\":{\"public_key\":\"x\"}}}}",
		"{\"data\":{\"keys\":{\"1\":{\"public_key\":\"\"}}}}",
		"{\"data\":{\"keys\":{\"1\":{\"public_key\":5}}}}",
		"{\"data\":{\"keys\":{\"1\":{\"public_key\":\"\xc3\xa9\"}}}}",
		"{\"data\":{\"keys\":{\"1\":{\"public_key\":\"x\"},"
		"\"1\":{\"public_key\":\"y\"}}}}",
		"{\"data\":{\"keys\":{\"1\":{\"public_key\":\"x\"}},"
		"\"min_decryption_version\":-1}}",
		"{\"data\":{\"keys\":{\"1\":{\"public_key\":\"x\"}},"
		"\"min_decryption_version\":\"1\"}}",
		"{\"data\":{\"public_key\":\"a\\u0000b\"}}",
		"{\"data\":{\"data\":{\"public_key\":\"\"}}}",
		"{\"errors\":[\"permission denied\"]}" };
	size_t i;

	for (i = 0; i < nitems(bad); i++) {
		ck_assert_msg(
		    parse(bad[i]) == -EBADMSG, "accepted: %s", bad[i]);
		ck_assert(error[0] != '\0');
		ck_assert_ptr_null(records);
	}
}
END_TEST

START_TEST (test_key_too_long) {
	char text[9000], key[8400];

	memset(key, 'A', sizeof(key));
	key[8184] = '\0';
	(void)snprintf(
	    text, sizeof(text), "{\"data\":{\"public_key\":\"%s\"}}", key);
	ck_assert_int_eq(parse(text), -EBADMSG);
	key[8183] = '\0';
	(void)snprintf(
	    text, sizeof(text), "{\"data\":{\"public_key\":\"%s\"}}", key);
	ck_assert_int_eq(parse(text), 0);
	ck_assert_uint_eq(set.keys[0].text_len, 8183);
}
END_TEST

START_TEST (test_newest_versions_are_kept) {
	char text[16384] = "{\"data\":{\"keys\":{", one[64];
	int i;

	for (i = 1; i <= 100; i++) {
		(void)snprintf(one, sizeof(one),
		    "%s\"%d\":{\"public_key\":\"k%d\"}", i > 1 ? "," : "", i,
		    i);
		(void)strcat(text, one);
	}
	(void)strcat(text, "}}}");
	ck_assert_int_eq(parse(text), 0);
	ck_assert_uint_eq(set.header->key_count, KEYSET_KEYS_MAX);
	ck_assert_uint_eq(set.keys[0].version, 101 - KEYSET_KEYS_MAX);
	ck_assert_uint_eq(set.keys[KEYSET_KEYS_MAX - 1].version, 100);
}
END_TEST

UNIT_MAIN("vault", test_transit, test_transit_pem, test_kv,
    test_symmetric_key_is_named, test_malformed, test_key_too_long,
    test_newest_versions_are_kept)
