/* SPDX-License-Identifier: ISC */
/* Programs' records as JSON, old, short and hostile ones included. */
#include "unit.h"

#include <arpa/inet.h>
#include <json-c/json.h>
#include <string.h>

#include "bpf-progs/include/aegis/event.h"
#include "telemd/event_id.h"
#include "telemd/violation.h"

static struct violation_format format;
static const uint8_t id[16] = { 1, 2, 3 };

static void
prepare(void)
{
	struct telemetry t = { .violations = 12 };

	ck_assert_int_eq(violation_prepare(&format, "art-1", "drop", "1.0.0",
			     "host-001", "1.0.0", &t),
	    0);
}

static json_object *
render(const void *event, uint32_t len, uint64_t suppressed)
{
	const struct violation_gap gap = { .suppressed = suppressed,
		.lost = violation_lost(event, len) };
	struct jsonbuf out = { 0 };
	struct json_tokener *tok = json_tokener_new();
	json_object *o;

	violation_append(&out, &format, event, len,
	    INT64_C(1705314600123456789), 42, id, &gap);
	ck_assert(!out.failed);
	json_tokener_set_flags(
	    tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(tok, out.data, (int)out.len);
	ck_assert_msg(json_tokener_get_error(tok) == json_tokener_success &&
		json_tokener_get_parse_end(tok) == out.len,
	    "no JSON: %.*s", (int)out.len, out.data);
	json_tokener_free(tok);
	jsonbuf_free(&out);
	return o;
}

static const char *
text(json_object *o, const char *outer, const char *inner, const char *key)
{
	if (outer != NULL && !json_object_object_get_ex(o, outer, &o))
		return NULL;
	if (inner != NULL && !json_object_object_get_ex(o, inner, &o))
		return NULL;
	if (!json_object_object_get_ex(o, key, &o))
		return NULL;
	return json_object_get_string(o);
}

#define VIOLATION(o, key) text(o, "data", "violation", key)

START_TEST (test_network) {
	struct aegis_event e = {
		.version = 2,
		.kind = AEGIS_EVENT_NETWORK,
		.verdict = AEGIS_VERDICT_DENY,
		.family = 2,
		.cgroup_id = UINT64_MAX,
		.pid = 1,
		.tid = 2,
		.uid = UINT32_MAX,
		.sport = 65535,
		.dport = 443,
		.saddr = { 10, 0, 0, 1 },
		.daddr = { 192, 0, 2, 255 },
		.protocol = 17,
		.rule = 3,
		.value = 99,
		.comm = "a\"b",
		.lost = 1694,
	};
	json_object *o;

	prepare();
	o = render(&e, sizeof(e), 5);
	ck_assert_str_eq(text(o, NULL, NULL, "type"), "violation_report");
	ck_assert_str_eq(
	    text(o, NULL, NULL, "timestamp"), "2024-01-15T10:30:00.123456Z");
	ck_assert_str_eq(text(o, "data", NULL, "artifact_id"), "art-1");
	ck_assert_str_eq(text(o, "data", NULL, "violations"), "12");
	ck_assert_str_eq(VIOLATION(o, "kind"), "network");
	ck_assert_str_eq(VIOLATION(o, "verdict"), "deny");
	ck_assert_str_eq(VIOLATION(o, "time"), "2024-01-15T10:30:00.123456Z");
	ck_assert_str_eq(VIOLATION(o, "cgroup_id"), "18446744073709551615");
	ck_assert_str_eq(VIOLATION(o, "uid"), "4294967295");
	ck_assert_str_eq(VIOLATION(o, "family"), "ipv4");
	ck_assert_str_eq(VIOLATION(o, "saddr"), "10.0.0.1");
	ck_assert_str_eq(VIOLATION(o, "daddr"), "192.0.2.255");
	ck_assert_str_eq(VIOLATION(o, "protocol"), "udp");
	ck_assert_str_eq(VIOLATION(o, "sport"), "65535");
	ck_assert_str_eq(VIOLATION(o, "dport"), "443");
	ck_assert_str_eq(VIOLATION(o, "comm"), "a\"b");
	ck_assert_str_eq(VIOLATION(o, "rule"), "3");
	ck_assert_str_eq(VIOLATION(o, "value"), "99");
	ck_assert_ptr_null(VIOLATION(o, "path"));
	ck_assert_str_eq(text(o, "metadata", NULL, "seq"), "42");
	ck_assert_str_eq(text(o, "metadata", NULL, "suppressed"), "5");
	ck_assert_str_eq(text(o, "metadata", NULL, "lost"), "1694");
	ck_assert_str_eq(text(o, "metadata", NULL, "event_id"),
	    "01020300-0000-0000-0000-000000000000");
	json_object_put(o);
	violation_format_free(&format);
}
END_TEST

START_TEST (test_exec_has_a_path_and_no_addresses) {
	struct aegis_event e = { .version = 1,
		.kind = AEGIS_EVENT_EXEC,
		.verdict = 77,
		.path = "/usr/bin/\x01nc" };
	json_object *o;

	prepare();
	o = render(&e, sizeof(e), 0);
	ck_assert_str_eq(VIOLATION(o, "kind"), "exec");
	ck_assert_str_eq(VIOLATION(o, "verdict"), "77");
	ck_assert_str_eq(VIOLATION(o, "path"), "/usr/bin/\x01nc");
	ck_assert_ptr_null(VIOLATION(o, "saddr"));
	ck_assert_ptr_null(text(o, "metadata", NULL, "suppressed"));
	json_object_put(o);
	violation_format_free(&format);
}
END_TEST

/* Every text that inet_ntop() gives for IPv6, from the same bytes. */
START_TEST (test_ipv6) {
	static const char *const cases[] = { "::", "::1", "1::", "2001:db8::1",
		"2001:db8:0:1:1:1:1:1", "fe80::1:0:0:1", "1:0:0:2:0:0:0:3",
		"1:2:3:4:5:6:7:8", "0:1:0:1:0:1:0:1",
		"1:2:3:4:5:6::", "abcd:ef01:2345:6789:abcd:ef01:2345:6789" };
	struct aegis_event e = {
		.version = 1, .kind = AEGIS_EVENT_NETWORK, .family = 10
	};
	json_object *o;
	char want[64];
	size_t i;

	prepare();
	for (i = 0; i < nitems(cases); i++) {
		ck_assert_int_eq(inet_pton(AF_INET6, cases[i], e.daddr), 1);
		ck_assert_ptr_nonnull(
		    inet_ntop(AF_INET6, e.daddr, want, sizeof(want)));
		o = render(&e, sizeof(e), 0);
		ck_assert_str_eq(VIOLATION(o, "daddr"), want);
		json_object_put(o);
	}
	violation_format_free(&format);
}
END_TEST

/* All bytes 0xff, nothing terminated: still JSON, still within bounds. */
START_TEST (test_garbage) {
	unsigned char bytes[sizeof(struct aegis_event)];
	unsigned int i, round;
	json_object *o;

	prepare();
	for (round = 0; round < 2000; round++) {
		for (i = 0; i < sizeof(bytes); i++)
			bytes[i] = round == 0
			    ? 0xff
			    : (unsigned char)event_id_hash(
				  &(unsigned int[2]){ round, i }, 8);
		o = render(bytes, sizeof(bytes), round);
		json_object_put(o);
	}
	violation_format_free(&format);
}
END_TEST

/* A program built against an older header: what is missing is zero. */
START_TEST (test_short_records) {
	struct aegis_event e = { .version = 1,
		.kind = AEGIS_EVENT_OTHER,
		.time_ns = 7,
		.pid = 55,
		.comm = "xxxxxxxxxxxxxxxx",
		.lost = 3 };
	unsigned char *exact;
	uint64_t time_ns = 0;
	json_object *o;
	uint32_t len;

	prepare();
	ck_assert_int_eq(
	    violation_check(&e, VIOLATION_MIN_LEN - 1, &time_ns), -EBADMSG);
	for (len = VIOLATION_MIN_LEN; len <= sizeof(e); len += 4) {
		/* of exactly that length, for the sanitizer */
		exact = malloc(len);
		memcpy(exact, &e, len);
		ck_assert_int_eq(violation_check(exact, len, &time_ns), 0);
		ck_assert_uint_eq(time_ns, 7);
		/* not said in version 1, whatever lies there */
		ck_assert_uint_eq(violation_lost(exact, len), 0);
		o = render(exact, len, 0);
		ck_assert_str_eq(VIOLATION(o, "pid"), len >= 28 ? "55" : "0");
		json_object_put(o);
		free(exact);
	}
	e.version = 0;
	ck_assert_int_eq(violation_check(&e, sizeof(e), &time_ns), -EBADMSG);
	violation_format_free(&format);
}
END_TEST

START_TEST (test_event_id) {
	uint8_t a[16], b[16];

	event_id_make(a, 0x0123456789ab, 7, 100);
	event_id_make(b, 0x0123456789ab, 7, 100);
	ck_assert_mem_eq(a, b, 16);
	ck_assert_uint_eq(a[0], 0x01);
	ck_assert_uint_eq(a[5], 0xab);
	ck_assert_uint_eq(a[6] >> 4, 7);
	ck_assert_uint_eq(a[8] >> 6, 2);
	event_id_make(b, 0x0123456789ab, 7, 108);
	ck_assert_mem_ne(a, b, 16);
	event_id_make(b, 0x0123456789ab, 8, 100);
	ck_assert_mem_ne(a, b, 16);
}
END_TEST

UNIT_MAIN("violation", test_network, test_exec_has_a_path_and_no_addresses,
    test_ipv6, test_garbage, test_short_records, test_event_id)
