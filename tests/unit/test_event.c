/* SPDX-License-Identifier: ISC */
/* Events as JSON: every type, every hostile byte (aegis-events(7)). */
#include "unit.h"

#include <json-c/json.h>
#include <math.h>
#include <string.h>

#include "common/snapshot.h"
#include "common/event.h"

static uint64_t sent[EVENT_TYPE_MAX], dropped[EVENT_TYPE_MAX];

static struct event_context context = {
	.host_id = "host-001",
	.agent_version = "1.0.0",
	.sent = sent,
	.dropped = dropped,
};

static struct msg_event
make(enum event_type type)
{
	struct msg_event e = {
		.wall_ns = INT64_C(1705314600000000000),
		.type = type,
		.status = STATUS_RUNNING,
		.artifact_id = "artifact-123",
		.name = "drop_egress_by_cgroup",
		.version = "1.2.0",
		.telemetry = { .cpu_percent = 0.5,
		    .latency_ms = 0.1,
		    .memory_kb = 1024,
		    .packets_processed = 1000,
		    .violations = 3,
		    .errors = 1 },
	};
	int i;

	for (i = 0; i < 16; i++)
		e.event_id[i] = (uint8_t)(0x10 + i);
	return e;
}

/* Format and parse again, strictly. */
static json_object *
format(const struct msg_event *e, const char *log, size_t len)
{
	struct json_tokener *tok = json_tokener_new();
	struct jsonbuf out = { 0 };
	json_object *o;

	event_format(&out, e, 42, &context, log, len);
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

/* The member at a path such as "data.status". */
static json_object *
at(json_object *o, const char *path)
{
	char key[64];
	size_t n;

	while (*path != '\0') {
		n = strcspn(path, ".");
		ck_assert(n < sizeof(key));
		memcpy(key, path, n);
		key[n] = '\0';
		if (!json_object_object_get_ex(o, key, &o))
			return NULL;
		path += n + (path[n] == '.');
	}
	return o;
}

static void
assert_text(json_object *o, const char *path, const char *want)
{
	json_object *v = at(o, path);

	ck_assert_msg(v != NULL, "%s is missing", path);
	ck_assert_str_eq(json_object_get_string(v), want);
}

START_TEST (test_common_members) {
	struct msg_event e = make(EVENT_PROGRAM_LOADED);
	json_object *o = format(&e, NULL, 0);

	assert_text(o, "type", "program_loaded");
	assert_text(o, "timestamp", "2024-01-15T10:30:00Z");
	assert_text(o, "data.artifact_id", "artifact-123");
	assert_text(o, "data.host_id", "host-001");
	assert_text(o, "data.status", "running");
	assert_text(o, "data.timestamp", "2024-01-15T10:30:00Z");
	assert_text(o, "data.cpu_percent", "0.5");
	assert_text(o, "data.memory_kb", "1024");
	assert_text(o, "data.packets_processed", "1000");
	assert_text(o, "data.violations", "3");
	assert_text(o, "data.errors", "1");
	assert_text(o, "data.latency_ms", "0.1");
	ck_assert_ptr_null(at(o, "data.verifier_msg"));
	ck_assert_ptr_null(at(o, "violations"));
	assert_text(o, "metadata.host_id", "host-001");
	assert_text(o, "metadata.agent_version", "1.0.0");
	assert_text(
	    o, "metadata.event_id", "10111213-1415-1617-1819-1a1b1c1d1e1f");
	assert_text(o, "metadata.seq", "42");
	assert_text(o, "metadata.name", "drop_egress_by_cgroup");
	assert_text(o, "metadata.version", "1.2.0");
	json_object_put(o);
}
END_TEST

START_TEST (test_flat_fields_of_telemetry) {
	struct msg_event e = make(EVENT_PROGRAM_TELEMETRY);
	json_object *o = format(&e, NULL, 0);

	assert_text(o, "violations", "3");
	assert_text(o, "errors", "1");
	assert_text(o, "latency_ms", "0.1");
	assert_text(o, "packet_count", "1000");
	assert_text(o, "block_count", "3");
	assert_text(o, "agent_version", "1.0.0");
	assert_text(o, "last_update", "2024-01-15T10:30:00Z");
	json_object_put(o);
}
END_TEST

START_TEST (test_unloaded_says_why) {
	struct msg_event e = make(EVENT_PROGRAM_UNLOADED);
	json_object *o;

	e.unload_reason = UNLOAD_TTL_EXPIRED;
	o = format(&e, NULL, 0);
	assert_text(o, "metadata.reason", "ttl_expired");
	json_object_put(o);
}
END_TEST

START_TEST (test_rolled_back) {
	struct msg_event e = make(EVENT_PROGRAM_ROLLED_BACK);
	json_object *o;

	e.rollback_reason = ROLLBACK_HIGH_CPU;
	e.threshold = THRESHOLD_MAX_CPU_PERCENT;
	e.value = 91.25;
	e.limit = 80;
	o = format(&e, NULL, 0);
	assert_text(o, "data.status", "rolled_back");
	assert_text(o, "metadata.rollback_reason", "high_cpu");
	assert_text(o, "metadata.threshold", "max_cpu_percent");
	assert_text(o, "metadata.value", "91.25");
	assert_text(o, "metadata.limit", "80");
	assert_text(o, "metadata.artifact_id", "artifact-123");
	json_object_put(o);
}
END_TEST

START_TEST (test_rollback_status_has_its_own_shape) {
	struct msg_event e = make(EVENT_ROLLBACK_STATUS);
	json_object *o;

	e.rollback_status = ROLLBACK_IN_PROGRESS;
	e.rollback_reason = ROLLBACK_ORCHESTRATOR_SIGNAL;
	str_copy_cut(e.error, sizeof(e.error), "link busy");
	o = format(&e, NULL, 0);
	assert_text(o, "type", "rollback_status");
	assert_text(o, "artifact_id", "artifact-123");
	assert_text(o, "host_id", "host-001");
	assert_text(o, "reason", "orchestrator_signal");
	assert_text(o, "threshold", "");
	assert_text(o, "status", "in_progress");
	assert_text(o, "error", "link busy");
	assert_text(o, "timestamp", "2024-01-15T10:30:00Z");
	assert_text(o, "metadata.seq", "42");
	ck_assert_ptr_null(at(o, "data"));
	json_object_put(o);
}
END_TEST

/* An error comes in full, whatever is in it; the verifier's log too. */
START_TEST (test_hostile_text) {
	struct msg_event e = make(EVENT_PROGRAM_ERROR);
	char all[256], log[] = "0: R1=ctx()\nx \"quoted\" \x80\xff";
	json_object *o;
	int i;

	for (i = 1; i < 256; i++)
		all[i - 1] = (char)i;
	all[255] = '\0';
	memcpy(e.error, all, sizeof(all));
	o = format(&e, log, sizeof(log) - 1);
	ck_assert_int_ge(
	    json_object_get_string_len(at(o, "metadata.error")), 255);
	assert_text(o, "data.verifier_msg",
	    "0: R1=ctx()\nx \"quoted\" \xef\xbf\xbd\xef\xbf\xbd");
	json_object_put(o);
	memset(e.error, '"', sizeof(e.error) - 1);
	o = format(&e, NULL, 0);
	ck_assert_int_eq(json_object_get_string_len(at(o, "metadata.error")),
	    sizeof(e.error) - 1);
	json_object_put(o);
}
END_TEST

START_TEST (test_heartbeat) {
	struct msg_event e = make(EVENT_AGENT_HEARTBEAT);
	json_object *o;

	e.artifact_id[0] = '\0';
	e.health = HEALTH_DEGRADED;
	e.loaded_programs = 7;
	e.uptime_sec = 3600;
	e.worker_restarts[PROC_BPF] = 2;
	dropped[EVENT_PROGRAM_TELEMETRY] = 9;
	context.unsure_first = 5;
	context.unsure_last = 8;
	o = format(&e, NULL, 0);
	assert_text(o, "data.status", "degraded");
	assert_text(o, "metadata.health", "degraded");
	assert_text(o, "metadata.loaded_programs", "7");
	assert_text(o, "metadata.uptime_sec", "3600");
	assert_text(o, "metadata.worker_restarts.bpfd", "2");
	assert_text(o, "metadata.worker_restarts.apid", "0");
	assert_text(o, "metadata.dropped.program_telemetry", "9");
	ck_assert_ptr_null(at(o, "metadata.dropped.program_loaded"));
	assert_text(o, "metadata.seq_unsure.first", "5");
	assert_text(o, "metadata.seq_unsure.last", "8");
	json_object_put(o);
	dropped[EVENT_PROGRAM_TELEMETRY] = 0;
	context.unsure_first = context.unsure_last = 0;
}
END_TEST

/* JSON knows no NaN and no infinity. */
START_TEST (test_numbers) {
	static const struct {
		double v;
		const char *want;
	} cases[] = {
		{ 0, "0" },
		{ -0.0, "0" },
		{ 0.1, "0.1" },
		{ 100, "100" },
		{ 0.000001, "0.000001" },
		{ 0.0000001, "0" },
		{ -1.5, "-1.5" },
		{ (double)NAN, "0" },
		{ (double)INFINITY, "0" },
		{ 1e20, "1e+20" },
	};
	struct jsonbuf b = { 0 };
	size_t i;

	for (i = 0; i < nitems(cases); i++) {
		b.len = 0;
		jsonbuf_double(&b, cases[i].v);
		jsonbuf_raw(&b, "", 1);
		ck_assert_str_eq(b.data, cases[i].want);
	}
	b.len = 0;
	jsonbuf_u64(&b, UINT64_MAX);
	jsonbuf_lit(&b, " ");
	jsonbuf_i64(&b, INT64_MIN);
	jsonbuf_raw(&b, "", 1);
	ck_assert_str_eq(b.data, "18446744073709551615 -9223372036854775808");
	/* one digit, pairs of them, and one left over */
	b.len = 0;
	jsonbuf_u64(&b, 0);
	for (i = 1; i <= 100000; i *= 10) {
		jsonbuf_lit(&b, " ");
		jsonbuf_u64(&b, i - 1);
		jsonbuf_lit(&b, " ");
		jsonbuf_u64(&b, i);
	}
	jsonbuf_raw(&b, "", 1);
	ck_assert_str_eq(
	    b.data, "0 0 1 9 10 99 100 999 1000 9999 10000 99999 100000");
	jsonbuf_free(&b);
}
END_TEST

START_TEST (test_utf8) {
	static const struct {
		const char *in;
		const char *want;
	} cases[] = {
		{ "gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\"" },
		{ "\xf0\x9f\x90\x9d", "\"\xf0\x9f\x90\x9d\"" },
		/* overlong, surrogate, too large, cut off */
		{ "\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "\xf4\x90\x80\x80",
		    "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "a\xe2\x82", "\"a\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\"" },
		{ "\\ \" \t\n", "\"\\\\ \\\" \\t\\n\"" },
	};
	struct jsonbuf b = { 0 };
	size_t i;

	for (i = 0; i < nitems(cases); i++) {
		b.len = 0;
		jsonbuf_string(&b, cases[i].in, strlen(cases[i].in));
		jsonbuf_raw(&b, "", 1);
		ck_assert_str_eq(b.data, cases[i].want);
	}
	jsonbuf_free(&b);
}
END_TEST

START_TEST (test_values_out_of_range) {
	struct msg_event good = make(EVENT_PROGRAM_LOADED), e;

	ck_assert_int_eq(event_check(&good), 0);
#define REFUSED(change)                                                        \
	do {                                                                   \
		e = good;                                                      \
		change;                                                        \
		ck_assert_int_eq(event_check(&e), -EINVAL);                    \
	} while (0)
	REFUSED(e.type = EVENT_TYPE_MAX);
	REFUSED(e.type = EVENT_VIOLATION_REPORT);
	REFUSED(e.status = STATUS_MAX);
	REFUSED(e.unload_reason = UNLOAD_MAX);
	REFUSED(e.rollback_reason = ROLLBACK_REASON_MAX);
	REFUSED(e.threshold = THRESHOLD_MAX);
	REFUSED(e.rollback_status = ROLLBACK_STATUS_MAX);
	REFUSED(e.health = HEALTH_UNHEALTHY + 1);
	REFUSED(e.wall_ns = -1);
	REFUSED(e.artifact_id[0] = '\0');
	REFUSED(str_copy_cut(e.artifact_id, sizeof(e.artifact_id), "a b"));
	REFUSED(memset(e.name, 'x', sizeof(e.name)));
	REFUSED(memset(e.error, 'x', sizeof(e.error)));
#undef REFUSED
	e = good;
	e.type = EVENT_AGENT_HEARTBEAT;
	e.artifact_id[0] = '\0';
	ck_assert_int_eq(event_check(&e), 0);
}
END_TEST

UNIT_MAIN("event", test_common_members, test_flat_fields_of_telemetry,
    test_unloaded_says_why, test_rolled_back,
    test_rollback_status_has_its_own_shape, test_hostile_text, test_heartbeat,
    test_numbers, test_utf8, test_values_out_of_range)
