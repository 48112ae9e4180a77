/* SPDX-License-Identifier: ISC */
#include "unit.h"

#include <json-c/json.h>
#include <math.h>
#include <string.h>

#include "common/clock.h"
#include "common/render.h"
#include "synthetic.h"

#define BOOT (1000000 * NSEC_PER_SEC)
#define WALL (INT64_C(1705314600) * NSEC_PER_SEC) /* 2024-01-15T10:30:00Z */

struct fixture {
	struct synthetic spec;
	void *bytes;
	struct snapshot snap;
	struct render_now now;
};

static void
open_fixture(struct fixture *f)
{
	const char *what;
	size_t len;

	synthetic_snapshot(&f->spec, &f->bytes, &len);
	ck_assert_int_eq(snapshot_check(f->bytes, len, &f->snap, &what), 0);
}

static struct fixture
make(uint32_t programs, uint32_t mixed, uint32_t health)
{
	struct fixture f = {
		.spec = { .generation = 3,
		    .content = 0x1234,
		    .host_id = "host-001",
		    .health = health,
		    .programs = programs,
		    .mixed = mixed,
		    .rollbacks = 4,
		    .boot_ns = BOOT,
		    .wall_ns = WALL,
		    .uptime_sec = 8130,
		    .ttl_sec = 5460,
		    .beat = 5 },
		.now = { .wall_ns = WALL, .boot_ns = BOOT },
	};

	open_fixture(&f);
	return f;
}

/* A document, parsed again by json-c; owned. */
static struct json_object *
document(const struct fixture *f, enum render_doc doc)
{
	_cleanup_free_ char *text = NULL;
	struct json_object *o;
	size_t len;

	ck_assert_int_eq(render_json(doc, &f->snap, &f->now, &text, &len), 0);
	ck_assert_uint_eq(strlen(text), len);
	ck_assert_int_eq(text[len - 1], '\n');
	o = json_tokener_parse(text);
	ck_assert_ptr_nonnull(o);
	return o;
}

static struct json_object *
at(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	ck_assert_msg(json_object_object_get_ex(o, key, &v), "no %s", key);
	return v;
}

static const char *
text_at(struct json_object *o, const char *key)
{
	return json_object_get_string(at(o, key));
}

START_TEST (healthz_says_what_the_seed_says) {
	struct fixture f = make(3, 0, HEALTH_HEALTHY);
	_cleanup_free_ char *text = NULL;
	size_t len;

	ck_assert_int_eq(
	    render_json(RENDER_HEALTHZ, &f.snap, &f.now, &text, &len), 0);
	ck_assert_str_eq(text,
	    "{\"status\":\"healthy\",\"host_id\":\"host-001\",\"timestamp\":"
	    "\"2024-01-15T10:30:00Z\",\"uptime\":\"2h15m30s\",\"version\":"
	    "\"1.0.0\",\"loaded_programs\":3}\n");
	free(f.bytes);
}
END_TEST

START_TEST (reasons_name_their_component) {
	struct fixture f = make(0, 0, HEALTH_UNHEALTHY);
	struct json_object *o = document(&f, RENDER_HEALTHZ);
	struct json_object *reasons = at(o, "reasons");

	ck_assert_str_eq(text_at(o, "status"), "unhealthy");
	ck_assert_uint_eq(json_object_array_length(reasons), 3);
	ck_assert_str_eq(
	    json_object_get_string(json_object_array_get_idx(reasons, 2)),
	    "bpfd: in back-off after 5 exits");
	(void)json_object_put(o);
	free(f.bytes);
}
END_TEST

START_TEST (ttl_counts_down_to_nothing) {
	struct fixture f = make(1, 0, HEALTH_HEALTHY);
	struct snapshot_program *p = (void *)(uintptr_t)f.snap.programs;

	/* Half of 5460 s is left when the snapshot is taken. */
	ck_assert_int_eq(render_ttl_left(p, &f.now), 2730);
	f.now.boot_ns += NSEC_PER_SEC / 2;
	ck_assert_int_eq(render_ttl_left(p, &f.now), 2730);
	f.now.boot_ns += NSEC_PER_SEC / 2;
	ck_assert_int_eq(render_ttl_left(p, &f.now), 2729);
	f.now.boot_ns = p->expires_boot_ns - 1;
	ck_assert_int_eq(render_ttl_left(p, &f.now), 1);
	f.now.boot_ns = p->expires_boot_ns;
	ck_assert_int_eq(render_ttl_left(p, &f.now), 0);
	f.now.boot_ns += 3600 * NSEC_PER_SEC;
	ck_assert_int_eq(render_ttl_left(p, &f.now), 0);
	/* The wall clock has no say. */
	f.now.boot_ns = BOOT;
	f.now.wall_ns += 86400 * NSEC_PER_SEC;
	ck_assert_int_eq(render_ttl_left(p, &f.now), 2730);
	p->ttl_sec = 0;
	ck_assert_int_eq(render_ttl_left(p, &f.now), -1);
	p->ttl_sec = 60;
	p->expires_boot_ns = 0;
	p->status = STATUS_VERIFYING;
	ck_assert_int_eq(render_ttl_left(p, &f.now), 60);
	p->status = STATUS_FAILED;
	ck_assert_int_eq(render_ttl_left(p, &f.now), 0);
	free(f.bytes);
}
END_TEST

START_TEST (status_has_the_seeds_numbers) {
	struct fixture f = make(1, 0, HEALTH_HEALTHY);
	struct json_object *o = document(&f, RENDER_STATUS);
	struct json_object *a =
	    json_object_array_get_idx(at(o, "applied_artifacts"), 0);

	ck_assert_str_eq(text_at(a, "status"), "running");
	ck_assert_str_eq(text_at(a, "ttl_remaining"), "45m30s");
	ck_assert_int_eq(json_object_get_int64(at(a, "ttl_seconds")), 2730);
	ck_assert_str_eq(text_at(a, "loaded_at"), "2024-01-15T09:44:30Z");
	ck_assert(!json_object_object_get_ex(a, "error", NULL));
	ck_assert_int_eq(json_object_get_int(at(o, "total_programs")), 1);
	ck_assert(!json_object_get_boolean(at(o, "from_cache")));
	(void)json_object_put(o);
	free(f.bytes);
}
END_TEST

START_TEST (foreign_text_stays_valid) {
	struct fixture f = make(11, 1, HEALTH_HEALTHY);
	struct json_object *o = document(&f, RENDER_PROGRAMS);
	struct json_object *failed =
	    json_object_array_get_idx(at(o, "programs"), STATUS_FAILED);

	ck_assert_str_eq(text_at(failed, "error"),
	    "load refused: map \"rules\" <b>\x01?\xc3\xa9</b> "
	    "\\ \"quoted\"\nsecond line");
	(void)json_object_put(o);
	free(f.bytes);
}
END_TEST

START_TEST (broken_parameters_become_an_empty_object) {
	struct fixture f = make(1, 0, HEALTH_HEALTHY);
	struct snapshot_program *p = (void *)(uintptr_t)f.snap.programs;
	struct json_object *o, *program;

	p->parameters.len--; /* cuts the closing brace */
	o = document(&f, RENDER_PROGRAMS);
	program = json_object_array_get_idx(at(o, "programs"), 0);
	ck_assert_str_eq(
	    json_object_to_json_string(at(program, "parameters")), "{ }");
	(void)json_object_put(o);
	free(f.bytes);
}
END_TEST

START_TEST (numbers_that_are_none_become_zero) {
	struct fixture f = make(1, 0, HEALTH_HEALTHY);
	struct snapshot_program *p = (void *)(uintptr_t)f.snap.programs;
	struct json_object *o, *t;
	struct render_totals totals;

	p->telemetry.cpu_percent = NAN;
	p->telemetry.latency_ms = INFINITY;
	p->telemetry.packets_processed = UINT64_MAX;
	o = document(&f, RENDER_TELEMETRY);
	t = at(at(o, "telemetry"), "artifact-000");
	ck_assert_str_eq(text_at(t, "cpu_percent"), "0");
	ck_assert_str_eq(text_at(t, "latency_ms"), "0");
	ck_assert_str_eq(text_at(t, "packets_processed"), "0");
	render_count(&f.snap, &totals);
	ck_assert(totals.average_cpu_percent >= 0);
	ck_assert_uint_eq(totals.packets_processed, 0);
	(void)json_object_put(o);
	free(f.bytes);
}
END_TEST

START_TEST (short_decimals_are_written_short) {
	struct fixture f = make(1, 0, HEALTH_HEALTHY);
	struct snapshot_program *p = (void *)(uintptr_t)f.snap.programs;
	_cleanup_free_ char *text = NULL;
	size_t len;

	p->telemetry.cpu_percent = 0.1;
	ck_assert_int_eq(
	    render_json(RENDER_TELEMETRY, &f.snap, &f.now, &text, &len), 0);
	ck_assert_ptr_nonnull(strstr(text, "\"cpu_percent\":0.1,"));
	free(f.bytes);
}
END_TEST

START_TEST (totals_count_what_is_in_the_kernel) {
	struct fixture f = make(11, 1, HEALTH_HEALTHY);
	struct render_totals totals;

	render_count(&f.snap, &totals);
	ck_assert_uint_eq(totals.in_kernel, 2);
	ck_assert_uint_eq(totals.by_status[STATUS_FAILED], 1);
	ck_assert_uint_eq(totals.memory_kb,
	    f.snap.programs[STATUS_LOADED].telemetry.memory_kb +
		f.snap.programs[STATUS_RUNNING].telemetry.memory_kb);
	ck_assert_double_eq_tol(totals.average_cpu_percent,
	    (f.snap.programs[STATUS_LOADED].telemetry.cpu_percent +
		f.snap.programs[STATUS_RUNNING].telemetry.cpu_percent) /
		2,
	    1e-9);
	free(f.bytes);
}
END_TEST

START_TEST (clock_that_is_behind_makes_no_negative_age) {
	struct fixture f = make(1, 0, HEALTH_HEALTHY);
	struct json_object *o;

	f.now.boot_ns = 0;
	o = document(&f, RENDER_VERSION);
	ck_assert_str_eq(text_at(o, "uptime"), "0s");
	(void)json_object_put(o);
	free(f.bytes);
}
END_TEST

START_TEST (every_document_of_an_empty_agent) {
	struct fixture f = make(0, 0, HEALTH_HEALTHY);
	int doc;

	for (doc = 0; doc < RENDER_DOC_MAX; doc++)
		(void)json_object_put(document(&f, (enum render_doc)doc));
	free(f.bytes);
}
END_TEST

UNIT_MAIN("render", healthz_says_what_the_seed_says,
    reasons_name_their_component, ttl_counts_down_to_nothing,
    status_has_the_seeds_numbers, foreign_text_stays_valid,
    broken_parameters_become_an_empty_object, numbers_that_are_none_become_zero,
    short_decimals_are_written_short, totals_count_what_is_in_the_kernel,
    clock_that_is_behind_makes_no_negative_age,
    every_document_of_an_empty_agent)
