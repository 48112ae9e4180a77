/* SPDX-License-Identifier: ISC */
#include "fetchd/reglist.h"

#include <string.h>

#include "common/clock.h"
#include "common/strnum.h"
#include "unit.h"

#define SHA "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static struct reglist list;
static char error[REGLIST_ERROR_SIZE];

/* The complaints about one text. */
static struct {
	unsigned int count;
	uint32_t index;
	char id[AEGIS_ID_SIZE];
	char text[512];
} complaint;

static void
complain(uint32_t index, const char *id, const char *text, void *ctx)
{
	complaint.count++;
	complaint.index = index;
	str_copy_cut(complaint.id, sizeof(complaint.id), id);
	str_copy_cut(complaint.text, sizeof(complaint.text), text);
}

static int
parse_len(const char *text, size_t len)
{
	char *copy = malloc(len > 0 ? len : 1);
	int r;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, len);
	memset(&complaint, 0, sizeof(complaint));
	reglist_free(&list);
	r = reglist_parse(copy, len, &list, complain, NULL, error);
	free(copy);
	return r;
}

static int
parse(const char *text)
{
	return parse_len(text, strlen(text));
}

/* One entry with MEMBERS beside what every entry needs. */
static void
parse_entry(const char *members)
{
	char text[4096];

	(void)snprintf(text, sizeof(text),
	    "[{\"artifact_id\":\"a\",\"name\":\"n\",\"version\":\"1\"%s%s}]",
	    members[0] != '\0' ? "," : "", members);
	ck_assert_msg(parse(text) == 0, "%s: %s", text, error);
}

static void
ck_good(const char *members)
{
	parse_entry(members);
	ck_assert_msg(list.count == 1 && complaint.count == 0, "%s: %s",
	    members, complaint.text);
	ck_assert_uint_eq(list.skipped, 0);
}

/* It is skipped, by name, with words that hold WORD. */
static void
ck_bad(const char *members, const char *word)
{
	parse_entry(members);
	ck_assert_msg(list.count == 0, "accepted: %s", members);
	ck_assert_uint_eq(complaint.count, 1);
	ck_assert_uint_eq(list.skipped, 1);
	ck_assert_msg(strstr(complaint.text, word) != NULL,
	    "%s: \"%s\" is not in: %s", members, word, complaint.text);
}

static void
ck_params(const char *members, const char *want)
{
	ck_good(members);
	ck_assert_uint_eq(list.entries[0].params_len, strlen(want));
	ck_assert_mem_eq(
	    list.data + list.entries[0].params_off, want, strlen(want));
}

START_TEST (test_full_entry) {
	const struct artlist_entry *e;

	ck_assert_int_eq(
	    parse(
		"{\"artifacts\":[{\"artifact_id\":\"art-1\",\"name\":\"drop\","
		"\"version\":\"1.2.0\",\"description\":\"x\",\"size\":4096,"
		"\"checksum\":\"sha256:" SHA "\",\"signature\":\"AAAA==\","
		"\"parameters\":{\"dst_port\":443,\"p\":\"a/b\"},"
		"\"ttl_sec\":3600,\"architecture\":\"x86_64\","
		"\"kernel_version\":\"5.15\",\"type\":\"program\","
		"\"tags\":[\"a\"],\"metadata\":{\"x\":\"y\"},"
		"\"replaces\":\"art-0\",\"unknown\":{\"deep\":[1,[2]]}}],"
		"\"total\":1,\"next_poll\":\"2026-01-02T03:04:05Z\","
		"\"expires\":\"2026-01-03T03:04:05Z\"}"),
	    0);
	ck_assert_uint_eq(list.count, 1);
	e = &list.entries[0];
	ck_assert_str_eq(e->artifact_id, "art-1");
	ck_assert_str_eq(e->name, "drop");
	ck_assert_str_eq(e->version, "1.2.0");
	ck_assert_str_eq(e->architecture, "x86_64");
	ck_assert_str_eq(e->kernel_version, "5.15");
	ck_assert_str_eq(e->replaces, "art-0");
	ck_assert_str_eq(e->signature, "AAAA==");
	ck_assert_uint_eq(e->has_sha256, 1);
	ck_assert_uint_eq(e->sha256[1], 0x11);
	ck_assert_uint_eq(e->size, 4096);
	ck_assert_int_eq(e->ttl_sec, 3600);
	ck_assert_uint_eq(e->reserved, 0);
	ck_assert_int_eq(
	    list.next_poll_wall_ns, INT64_C(1767323045) * NSEC_PER_SEC);
	ck_assert_int_eq(
	    list.expires_wall_ns, INT64_C(1767409445) * NSEC_PER_SEC);
	ck_assert_uint_eq(e->params_len,
	    strlen("{\"dst_port\":443,\"p\":"
		   "\"a/b\"}"));
	ck_assert_mem_eq(list.data + e->params_off,
	    "{\"dst_port\":443,\"p\":\"a/b\"}", e->params_len);
}
END_TEST

START_TEST (test_outer_forms) {
	ck_assert_int_eq(parse("[]"), 0);
	ck_assert_uint_eq(list.count, 0);
	ck_assert_int_eq(parse(" {\"artifacts\":null} \n"), 0);
	ck_assert_int_eq(parse("{\"artifacts\":[],\"total\":0}"), 0);
	ck_assert_int_eq(parse("null"), 0);
	ck_assert_int_eq(
	    parse("[{\"id\":\"x\",\"name\":\"n\",\"version\":\"1\"}]"), 0);
	ck_assert_uint_eq(list.count, 1);
	ck_assert_str_eq(list.entries[0].artifact_id, "x");
	ck_assert_int_eq(list.entries[0].ttl_sec, -1);
	ck_assert_int_eq(
	    parse("{\"expires\":null,\"next_poll\":null,\"artifacts\":[]}"), 0);
	ck_assert_int_eq(list.expires_wall_ns, 0);
}
END_TEST

START_TEST (test_malformed_lists) {
	static const char *const bad[] = { "", " ", "{}", "{\"total\":1}", "1",
		"\"artifacts\"", "{\"artifacts\":1}", "{\"artifacts\":{}}",
		"{\"artifacts\":\"\"}", "{\"artifacts\":[}",
		"{\"artifacts\":[]", "[", "[{]", "{\"artifacts\":[]}{}", "[] x",
		"{\"artifacts\":[],\"artifacts\":[]}",
		"{\"\\u0061rtifacts\":[]}", "{\"artifacts\":[],\"x\":nul}",
		"{\"artifacts\":[],\"total\":1e999}",
		"{\"artifacts\":[],\"x\":{\"a\":1,\"a\":2}}",
		"{\"artifacts\":[],\"next_poll\":\"tomorrow\"}",
		"{\"artifacts\":[],\"expires\":5}", "<html></html>" };
	size_t i;

	for (i = 0; i < nitems(bad); i++) {
		ck_assert_msg(
		    parse(bad[i]) == -EBADMSG, "accepted: %s", bad[i]);
		ck_assert_msg(
		    strncmp(error, "malformed list: ", 16) == 0, "%s", error);
		ck_assert_ptr_null(list.entries);
	}
	ck_assert_int_eq(parse_len("[]\0", 3), -EBADMSG);
}
END_TEST

START_TEST (test_one_bad_entry_costs_itself) {
	ck_assert_int_eq(
	    parse("[{\"id\":\"a\",\"name\":\"n\",\"version\":\"1\"},"
		  "{\"id\":\"b\",\"name\":\"n\",\"name\":\"m\","
		  "\"version\":\"1\"},"
		  "{\"id\":\"c\",\"name\":\"n\",\"version\":\"1\"}]"),
	    0);
	ck_assert_uint_eq(list.count, 2);
	ck_assert_uint_eq(list.skipped, 1);
	ck_assert_str_eq(list.entries[1].artifact_id, "c");
	ck_assert_uint_eq(complaint.index, 1);
	ck_assert_ptr_nonnull(strstr(complaint.text, "\"name\" twice"));
}
END_TEST

START_TEST (test_entry_is_named) {
	ck_bad("\"ttl_sec\":\"soon\"", "ttl_sec: \"soon\"");
	ck_assert_str_eq(complaint.id, "a");
	ck_assert_uint_eq(complaint.index, 0);
}
END_TEST

START_TEST (test_entries_that_are_none) {
	static const char *const bad[] = { "[1]", "[null]", "[\"x\"]", "[[]]",
		"[{}]", "[true]", "[{\"id\":\"a\"}]",
		"[{\"id\":\"a\",\"name\":\"n\"}]",
		"[{\"name\":\"n\",\"version\":\"1\"}]",
		"[{\"id\":null,\"name\":\"n\",\"version\":\"1\"}]",
		"[{\"id\":7,\"name\":\"n\",\"version\":\"1\"}]",
		"[{\"id\":\"\",\"name\":\"n\",\"version\":\"1\"}]",
		"[{\"id\":\"..\",\"name\":\"n\",\"version\":\"1\"}]",
		"[{\"id\":\"a/b\",\"name\":\"n\",\"version\":\"1\"}]",
		"[{\"id\":\"a b\",\"name\":\"n\",\"version\":\"1\"}]",
		"[{\"id\":\"a\",\"name\":\"n\\n\",\"version\":\"1\"}]",
		"[{\"id\":\"a\",\"name\":\"n\",\"version\":1}]" };
	size_t i;

	for (i = 0; i < nitems(bad); i++) {
		ck_assert_msg(parse(bad[i]) == 0, "%s: %s", bad[i], error);
		ck_assert_msg(list.count == 0, "accepted: %s", bad[i]);
		ck_assert_uint_eq(complaint.count, 1);
		ck_assert(complaint.text[0] != '\0');
	}
}
END_TEST

START_TEST (test_strings) {
	char text[AEGIS_SIGNATURE_SIZE + 64], filler[AEGIS_SIGNATURE_SIZE + 1];

	ck_good("\"signature\":null,\"architecture\":\"\",\"replaces\":null");
	ck_good("\"signature\":\"vault:v2:MEUCIQ+/=\"");
	ck_bad("\"signature\":5", "signature");
	ck_bad("\"signature\":\"a\\tb\"", "signature");
	ck_bad("\"signature\":\"a\\u0000b\"", "NUL");
	ck_bad("\"signature\":\"\xff\"", "UTF-8");
	ck_bad("\"architecture\":\"x86 64\"", "architecture: \"x86 64\"");
	ck_bad("\"replaces\":\"-x\"", "replaces");
	memset(filler, 'A', AEGIS_SIGNATURE_SIZE);
	filler[AEGIS_SIGNATURE_SIZE] = '\0';
	(void)snprintf(text, sizeof(text), "\"signature\":\"%s\"", filler);
	ck_bad(text, "1536 bytes long, at most 1535");
	(void)snprintf(text, sizeof(text), "\"signature\":\"%s\"", filler + 1);
	ck_good(text);
}
END_TEST

START_TEST (test_kernel_version) {
	ck_good("\"kernel_version\":\">= 5.15\"");
	ck_assert_str_eq(list.entries[0].kernel_version, "5.15");
	ck_good("\"kernel_version\":\"5.15.0-88-generic\"");
	ck_good("\"kernel_version\":\"\"");
	ck_bad("\"kernel_version\":\"< 6\"", "kernel_version: \"< 6\"");
	ck_bad("\"kernel_version\":5.15", "kernel_version");
}
END_TEST

START_TEST (test_checksum) {
	ck_good("\"checksum\":\"" SHA "\"");
	ck_assert_uint_eq(list.entries[0].has_sha256, 1);
	ck_good("\"checksum\":null");
	ck_assert_uint_eq(list.entries[0].has_sha256, 0);
	ck_good("\"checksum\":\"\"");
	ck_assert_uint_eq(list.entries[0].has_sha256, 0);
	ck_bad("\"checksum\":\"sha256:\"", "checksum");
	ck_bad("\"checksum\":\"md5:00\"", "checksum: \"md5:00\"");
	ck_bad("\"checksum\":\"" SHA "0\"", "checksum");
	ck_bad("\"checksum\":\"zz112233445566778899aabbccddeeff00112233445566"
	       "778899aabbccddeeff\"",
	    "64 hexadecimal");
	ck_bad("\"checksum\":0", "checksum");
}
END_TEST

START_TEST (test_size) {
	ck_good("\"size\":null");
	ck_assert_uint_eq(list.entries[0].size, 0);
	/* Refused when it is fetched, by its own name. */
	ck_good("\"size\":18446744073709551615");
	ck_bad("\"size\":-1", "size: -1");
	ck_bad("\"size\":1.5", "size: 1.5");
	ck_bad("\"size\":\"5\"", "size: \"5\"");
	ck_bad("\"size\":18446744073709551616", "out of range");
}
END_TEST

START_TEST (test_ttl) {
	ck_good("\"ttl_sec\":1");
	ck_assert_int_eq(list.entries[0].ttl_sec, 1);
	ck_good("\"ttl_sec\":315360000");
	ck_good("\"ttl_sec\":null");
	ck_assert_int_eq(list.entries[0].ttl_sec, -1);
	ck_bad("\"ttl_sec\":0", "ttl_sec: 0");
	ck_bad("\"ttl_sec\":-1", "ttl_sec: -1");
	ck_bad("\"ttl_sec\":315360001", "ttl_sec: 315360001");
	ck_bad("\"ttl_sec\":1e3", "ttl_sec: 1e3");
	ck_bad("\"ttl_sec\":true", "ttl_sec: true");
	ck_bad("\"ttl_sec\":\"60\"", "ttl_sec: \"60\"");
	ck_bad("\"ttl_sec\":9223372036854775808", "ttl_sec");
}
END_TEST

START_TEST (test_ttl_from_metadata) {
	ck_good("\"metadata\":{\"ttl_sec\":\"60\"}");
	ck_assert_int_eq(list.entries[0].ttl_sec, 60);
	ck_good("\"ttl_sec\":null,\"metadata\":{\"ttl_sec\":\"60\"}");
	ck_assert_int_eq(list.entries[0].ttl_sec, 60);
	/* The entry's own word wins. */
	ck_good("\"ttl_sec\":5,\"metadata\":{\"ttl_sec\":\"60\"}");
	ck_assert_int_eq(list.entries[0].ttl_sec, 5);
	ck_bad("\"metadata\":{\"ttl_sec\":\"0\"}", "ttl_sec: \"0\"");
	ck_bad("\"metadata\":{\"ttl_sec\":\"1h\"}", "ttl_sec: \"1h\"");
	ck_good("\"metadata\":\"no object\"");
}
END_TEST

START_TEST (test_parameters) {
	ck_params("\"parameters\":{}", "{}");
	ck_params("\"parameters\":{ \"a\" : [ 1 , 2.50 , \"x\\/y\\u00e9\" ] }",
	    "{\"a\":[1,2.50,\"x/y\xc3\xa9\"]}");
	ck_params("\"parameters\":{\"big\":18446744073709551615,\"neg\":-5}",
	    "{\"big\":18446744073709551615,\"neg\":-5}");
	ck_good("\"parameters\":null");
	ck_assert_uint_eq(list.entries[0].params_len, 0);
	ck_bad("\"parameters\":[]", "parameters: an object");
	ck_bad("\"parameters\":\"{}\"", "parameters: an object");
	ck_bad("\"parameters\":{\"a\":1,\"a\":2}", "\"a\" twice");
}
END_TEST

START_TEST (test_parameters_from_metadata) {
	ck_params(
	    "\"metadata\":{\"parameters\":\"{\\\"a\\\": 1}\"}", "{\"a\":1}");
	ck_params("\"metadata\":{\"parameters\":{\"a\":1}}", "{\"a\":1}");
	ck_params("\"parameters\":{\"b\":2},\"metadata\":{\"parameters\":"
		  "\"{\\\"a\\\":1}\"}",
	    "{\"b\":2}");
	ck_good("\"metadata\":{\"parameters\":\"\"}");
	ck_assert_uint_eq(list.entries[0].params_len, 0);
	ck_bad(
	    "\"metadata\":{\"parameters\":\"[1]\"}", "parameters: an object");
	ck_bad("\"metadata\":{\"parameters\":\"{\"}", "metadata.parameters");
	ck_bad("\"metadata\":{\"parameters\":\"{\\\"a\\\":1,\\\"a\\\":2}\"}",
	    "twice");
	ck_bad("\"metadata\":{\"parameters\":5}", "metadata.parameters");
}
END_TEST

START_TEST (test_parameters_too_long) {
	size_t len = AEGIS_PARAMETERS_MAX + 4096;
	char *text = malloc(len);
	int n;

	ck_assert_ptr_nonnull(text);
	n = snprintf(text, len,
	    "[{\"id\":\"a\",\"name\":\"n\",\"version\":\"1\","
	    "\"parameters\":{\"a\":\"");
	memset(text + n, 'x', AEGIS_PARAMETERS_MAX);
	(void)strcpy(text + n + AEGIS_PARAMETERS_MAX, "\"}}]");
	ck_assert_int_eq(parse(text), 0);
	ck_assert_uint_eq(list.count, 0);
	ck_assert_ptr_nonnull(strstr(complaint.text, "at most 1048576"));
	free(text);
}
END_TEST

START_TEST (test_duplicate_ids) {
	ck_assert_int_eq(
	    parse("[{\"id\":\"b\",\"name\":\"n\",\"version\":\"1\"},"
		  "{\"id\":\"a\",\"name\":\"n\",\"version\":\"1\"},"
		  "{\"id\":\"b\",\"name\":\"m\",\"version\":\"2\"}]"),
	    0);
	ck_assert_uint_eq(list.count, 2);
	ck_assert_str_eq(list.entries[0].artifact_id, "b");
	ck_assert_str_eq(list.entries[0].name, "n");
	ck_assert_str_eq(list.entries[1].artifact_id, "a");
	ck_assert_uint_eq(complaint.index, 2);
	ck_assert_str_eq(complaint.id, "b");
}
END_TEST

/* N entries "{}" long, and the array around them. */
static char *
many(size_t n, const char *entry)
{
	size_t len = strlen(entry), i;
	char *text = malloc(n * (len + 1) + 3), *p = text;

	ck_assert_ptr_nonnull(text);
	*p++ = '[';
	for (i = 0; i < n; i++) {
		if (i > 0)
			*p++ = ',';
		memcpy(p, entry, len);
		p += len;
	}
	(void)strcpy(p, "]");
	return text;
}

START_TEST (test_entry_count) {
	char *text = many(AEGIS_LIST_ENTRIES, "{}");

	ck_assert_int_eq(parse(text), 0);
	ck_assert_uint_eq(complaint.count, AEGIS_LIST_ENTRIES);
	free(text);
	text = many(AEGIS_LIST_ENTRIES + 1, "{}");
	ck_assert_int_eq(parse(text), -E2BIG);
	ck_assert_ptr_nonnull(strstr(error, "4096"));
	free(text);
}
END_TEST

START_TEST (test_list_size) {
	size_t len = AEGIS_LIST_MAX + 1;
	char *text = malloc(len);

	ck_assert_ptr_nonnull(text);
	memset(text, ' ', len);
	text[0] = '[';
	text[len - 2] = ']';
	ck_assert_int_eq(parse_len(text, len - 1), 0);
	ck_assert_int_eq(parse_len(text, len), -E2BIG);
	ck_assert_ptr_nonnull(strstr(error, "8 MiB"));
	free(text);
}
END_TEST

START_TEST (test_depth) {
	char text[512] = "\"parameters\":{\"a\":";

	memset(text + strlen(text), '[', 100);
	memset(text + strlen(text), ']', 100);
	(void)strcat(text, "}");
	ck_bad(text, "nested deeper");
}
END_TEST

START_TEST (test_records_pass_the_check) {
	struct artlist records;
	const char *what;
	size_t len;
	char *bytes;

	ck_assert_int_eq(
	    parse("[{\"id\":\"a\",\"name\":\"n\",\"version\":\"1\","
		  "\"parameters\":{\"x\":1},\"checksum\":\"" SHA "\"},"
		  "{\"id\":\"b\",\"name\":\"n\",\"version\":\"1\","
		  "\"parameters\":{\"y\":2}}]"),
	    0);
	len = sizeof(struct artlist_header) +
	    list.count * sizeof(*list.entries) + list.data_len;
	bytes = calloc(1, len);
	ck_assert_ptr_nonnull(bytes);
	*(struct artlist_header *)(void *)bytes =
	    (struct artlist_header){ .magic = ARTLIST_MAGIC,
		    .version = ARTLIST_VERSION,
		    .total_len = len,
		    .entry_count = list.count,
		    .data_len = list.data_len };
	memcpy(bytes + sizeof(struct artlist_header), list.entries,
	    list.count * sizeof(*list.entries));
	memcpy(bytes + len - list.data_len, list.data, list.data_len);
	ck_assert_msg(
	    artlist_check(bytes, len, &records, &what) == 0, "%s", what);
	ck_assert_mem_eq(
	    records.data + records.entries[1].params_off, "{\"y\":2}", 7);
	free(bytes);
}
END_TEST

UNIT_MAIN("registry", test_full_entry, test_outer_forms, test_malformed_lists,
    test_one_bad_entry_costs_itself, test_entry_is_named,
    test_entries_that_are_none, test_strings, test_kernel_version,
    test_checksum, test_size, test_ttl, test_ttl_from_metadata, test_parameters,
    test_parameters_from_metadata, test_parameters_too_long, test_duplicate_ids,
    test_entry_count, test_list_size, test_depth, test_records_pass_the_check)
