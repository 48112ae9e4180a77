/* SPDX-License-Identifier: ISC */
/*
 * The record between one agentd and the next: its gate, what belongs where,
 * and the fleet that goes on with it.
 */
#include "agentd/handover.h"

#include <string.h>

#include "agentd/fleet.h"
#include "common/memfd.h"
#include "tests/unit/unit.h"

#define SEC NSEC_PER_SEC

static struct handover_artifact artifacts[2];
static struct handover_link links[3];
static struct handover_header header;
static struct memfd_map map;
static struct handover record;
static uint8_t copy[64 << 10] __attribute__((aligned(8)));

static void
make(void)
{
	static const char *const ids[] = { "first", "second" };
	uint32_t i;

	memset(artifacts, 0, sizeof(artifacts));
	memset(links, 0, sizeof(links));
	memset(&header, 0, sizeof(header));
	for (i = 0; i < 2; i++) {
		struct handover_artifact *a = &artifacts[i];

		(void)snprintf(a->listing.artifact_id,
		    sizeof(a->listing.artifact_id), "%s", ids[i]);
		(void)snprintf(
		    a->listing.name, sizeof(a->listing.name), "name");
		(void)snprintf(
		    a->listing.version, sizeof(a->listing.version), "1.0.0");
		a->listing.ttl_sec = 60;
		a->listing.params_len = 2;
		a->handle = 10 + i;
		a->status = STATUS_RUNNING;
		a->flags = HANDOVER_LISTED;
		a->object_inode = 100 + 10 * i;
		a->plan_inode = 101 + 10 * i;
		a->prog_ids[0] = 7 + i;
		a->prog_tags[0][0] = 0xab;
		a->map_ids[3] = 30 + i;
	}
	for (i = 0; i < 3; i++)
		links[i] = (struct handover_link){
			.artifact = i / 2, .attach = i % 2, .link_id = 40 + i
		};
	header.next_handle = 20;
	header.next_load_order = 5;
}

/* As COPY, which a test may damage. */
static size_t
write_record(void)
{
	int fd = handover_write(&header, artifacts, 2, links, 3, "{}", 2);
	size_t len;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(memfd_map(fd, HANDOVER_MAX, &map), 0);
	len = map.len;
	ck_assert_uint_le(len, sizeof(copy));
	memcpy(copy, map.data, len);
	memfd_unmap(&map);
	(void)close(fd);
	return len;
}

static int
check(size_t len)
{
	const char *what = NULL;
	int r = handover_check(copy, len, &record, &what);

	if (r < 0)
		ck_assert_ptr_nonnull(what);
	return r;
}

START_TEST (written_is_read) {
	make();
	ck_assert_int_eq(check(write_record()), 0);
	ck_assert_uint_eq(record.header->artifact_count, 2);
	ck_assert_str_eq(record.artifacts[1].listing.artifact_id, "second");
	ck_assert_uint_eq(record.links[2].link_id, 42);
	ck_assert_mem_eq(record.data, "{}", 2);
}
END_TEST

START_TEST (every_cut_is_noticed) {
	size_t len, cut;

	make();
	len = write_record();
	for (cut = 0; cut < len; cut++)
		ck_assert_int_lt(check(cut), 0);
}
END_TEST

START_TEST (another_builds_record) {
	make();
	write_record();
	((struct handover_header *)(void *)copy)->version++;
	ck_assert_int_eq(check(sizeof(copy)), -EPROTO);
	make();
	write_record();
	((struct handover_header *)(void *)copy)->artifact_size += 8;
	ck_assert_int_eq(check(sizeof(copy)), -EPROTO);
}
END_TEST

#define REFUSED(change)                                                        \
	do {                                                                   \
		make();                                                        \
		change;                                                        \
		ck_assert_int_eq(check(write_record()), -EBADMSG);             \
	} while (0)

START_TEST (wrong_values_are_refused) {
	const struct tc_filter filter = {
		.ifindex = 3, .handle = 1, .priority = 50, .prog_id = 7
	};

	REFUSED(artifacts[0].listing.artifact_id[0] = '\0');
	REFUSED(memset(artifacts[0].listing.name, 'x', AEGIS_NAME_SIZE));
	REFUSED(artifacts[0].listing.params_off = 1);
	REFUSED(artifacts[0].listing.params_len = UINT32_MAX);
	REFUSED(artifacts[0].status = STATUS_LOADING);
	REFUSED(artifacts[0].status = STATUS_MAX);
	REFUSED(artifacts[0].unload_reason = UNLOAD_MAX);
	REFUSED(artifacts[0].watch_threshold = THRESHOLD_MAX);
	REFUSED(artifacts[0].handle = 0);
	REFUSED(artifacts[0].handle = 21);
	REFUSED(artifacts[0].handle = artifacts[1].handle);
	REFUSED(links[0].artifact = 2);
	REFUSED(links[0].attach = LOADPLAN_MAX_ATTACHES);
	REFUSED(links[0].link_id = 0);
	/* A filter instead of a link, but where it says, and not both. */
	REFUSED(links[0].filter = filter);
	REFUSED(links[0].link_id = 0; links[0].filter = filter;
		links[0].ifindex = 4);
	REFUSED(links[0].link_id = 0; links[0].filter = filter;
		links[0].ifindex = 3; links[0].filter.priority = 0);
	make();
	links[0].link_id = 0;
	links[0].ifindex = 3;
	links[0].filter = filter;
	ck_assert_int_eq(check(write_record()), 0);
	REFUSED(memset(links[0].interface, 'x', sizeof(links[0].interface)));
}
END_TEST

static struct handover_place
find(struct held held)
{
	return handover_find(&record, &held);
}

static void
expect(struct held held, enum handover_place_kind kind, uint32_t artifact,
    uint32_t index)
{
	struct handover_place p = find(held);

	ck_assert_int_eq(p.kind, kind);
	ck_assert_uint_eq(p.artifact, artifact);
	ck_assert_uint_eq(p.index, index);
}

START_TEST (each_has_its_place) {
	make();
	ck_assert_int_eq(check(write_record()), 0);
	expect((struct held){ .kind = HELD_LINK, .id = 41, .prog_id = 7 },
	    PLACE_LINK, 0, 1);
	expect((struct held){ .kind = HELD_LINK, .id = 42, .prog_id = 8 },
	    PLACE_LINK, 1, 2);
	expect((struct held){ .kind = HELD_PROG, .id = 8, .tag = { 0xab } },
	    PLACE_PROG, 1, 0);
	expect((struct held){ .kind = HELD_MAP, .id = 31 }, PLACE_MAP, 1, 3);
	expect((struct held){ .kind = HELD_MEMFD, .inode = 110 }, PLACE_OBJECT,
	    1, 0);
	expect((struct held){ .kind = HELD_MEMFD, .inode = 101 }, PLACE_PLAN, 0,
	    0);
}
END_TEST

START_TEST (strangers_have_none) {
	make();
	ck_assert_int_eq(check(write_record()), 0);
	/* The right link with a program of nobody, and of the other one. */
	ck_assert_int_eq(
	    find((struct held){ .kind = HELD_LINK, .id = 41, .prog_id = 99 })
		.kind,
	    PLACE_NONE);
	ck_assert_int_eq(
	    find((struct held){ .kind = HELD_LINK, .id = 41, .prog_id = 8 })
		.kind,
	    PLACE_NONE);
	/* An id that was given to another program since. */
	ck_assert_int_eq(
	    find((struct held){ .kind = HELD_PROG, .id = 8, .tag = { 0xac } })
		.kind,
	    PLACE_NONE);
	ck_assert_int_eq(
	    find((struct held){ .kind = HELD_MAP, .id = 99 }).kind, PLACE_NONE);
	/* 0 is "none" in the record: it must not match. */
	ck_assert_int_eq(
	    find((struct held){ .kind = HELD_MAP }).kind, PLACE_NONE);
	ck_assert_int_eq(
	    find((struct held){ .kind = HELD_MEMFD }).kind, PLACE_NONE);
	ck_assert_int_eq(
	    find((struct held){ .kind = HELD_OTHER, .id = 8 }).kind,
	    PLACE_NONE);
	ck_assert_int_eq(
	    find((struct held){ .kind = HELD_STATS }).kind, PLACE_NONE);
}
END_TEST

/* ---- the fleet ---- */

static struct fleet fleet;
static struct state state;
static struct moment now = { 1000 * SEC, INT64_C(1700000000) * SEC };
static const uint8_t boot_id[16] = { 1 };
static const struct fleet_rules rules = {
	.max_programs = 5,
	.default_ttl_sec = 60,
	.limits = { 10, 100, 80, 1000, 102400 },
};
static const struct verified plan = {
	.replaces = "",
	.limits = { .max_errors = 3,
	    .max_violations = -1,
	    .max_cpu_percent = -1,
	    .max_latency_ms = -1,
	    .max_memory_kb = -1 },
};

static void
begin(void)
{
	make();
	state_init(&state);
	fleet_init(&fleet, &rules, &state, boot_id);
}

static void
finish(void)
{
	fleet_fini(&fleet);
	state_free(&state);
}

/* It was loaded AGO seconds ago, says the state file. */
static struct state_artifact *
known_since(int64_t ago_sec)
{
	struct state_artifact *s = state_artifact_put(
	    &state, "first", artifacts[0].listing.sha256, "name", "1.0.0");

	ck_assert_ptr_nonnull(s);
	s->first_loaded_boot_ns = now.boot_ns - ago_sec * SEC;
	s->first_loaded_wall_ns = now.wall_ns - ago_sec * SEC;
	memcpy(s->boot_id, boot_id, sizeof(boot_id));
	return s;
}

static struct artifact *
adopt(const char **why)
{
	return fleet_adopt(
	    &fleet, &artifacts[0], (const uint8_t *)"{}", &plan, now, why);
}

START_TEST (an_adopted_one_goes_on) {
	struct handover_artifact again;
	const char *why;
	struct artifact *a;

	begin();
	(void)known_since(20);
	artifacts[0].loaded_wall_ns = 77;
	artifacts[0].telemetry.errors = 2;
	artifacts[0].watch_threshold = THRESHOLD_MAX_ERRORS;
	artifacts[0].watch_due_boot_ns = 88;
	a = adopt(&why);
	ck_assert_ptr_nonnull(a);
	ck_assert(artifact_is_loaded(a));
	ck_assert(a->listed);
	ck_assert_uint_eq(a->handle, 10);
	ck_assert_int_eq(artifact_expires_boot_ns(a), now.boot_ns + 40 * SEC);
	/* Signed limits count on. */
	ck_assert_double_eq(a->limits.max_errors, 3);
	ck_assert_double_eq(a->limits.max_violations, 100);
	/* Handing it over once more says the same. */
	ck_assert(fleet_describe(a, &again));
	ck_assert_int_eq(again.loaded_wall_ns, 77);
	ck_assert_uint_eq(again.telemetry.errors, 2);
	ck_assert_uint_eq(again.watch_threshold, THRESHOLD_MAX_ERRORS);
	ck_assert_int_eq(again.watch_due_boot_ns, 88);
	/* New handles are new. */
	fleet_resume(&fleet, 20, 5);
	ck_assert_uint_eq(fleet.next_handle, 20);
	ck_assert_uint_eq(fleet.next_load_order, 5);
	finish();
}
END_TEST

START_TEST (the_state_file_has_the_last_word) {
	const char *why = NULL;

	begin();
	ck_assert_ptr_null(adopt(&why));
	ck_assert_str_eq(why, "the state file does not know it");
	known_since(20)->tombstone = STATUS_ROLLED_BACK;
	ck_assert_ptr_null(adopt(&why));
	ck_assert_str_eq(why, "the state file says that it has ended");
	known_since(20)->tombstone = 0;
	known_since(20)->first_loaded_wall_ns = 0;
	ck_assert_ptr_null(adopt(&why));
	ck_assert_ptr_null(TAILQ_FIRST(&fleet.artifacts));
	finish();
}
END_TEST

START_TEST (over_its_time_it_goes_at_once) {
	struct artifact *a;
	const char *why;

	begin();
	(void)known_since(61);
	a = adopt(&why);
	ck_assert_ptr_nonnull(a);
	fleet_tick(&fleet, now);
	ck_assert_int_eq(a->status, STATUS_UNLOADING);
	ck_assert_int_eq(a->unload_reason, UNLOAD_TTL_EXPIRED);
	finish();
}
END_TEST

START_TEST (settling_begins_nothing_new) {
	struct artifact *loading, *fresh;
	struct handover_artifact h;

	begin();
	fleet.can_fetch = fleet.can_verify = fleet.can_load = true;
	loading = fleet_add(&fleet, ++fleet.next_handle, &artifacts[0].listing,
	    (const uint8_t *)"{}");
	loading->status = STATUS_LOADING;
	loading->working = true;
	fresh = fleet_add(&fleet, ++fleet.next_handle, &artifacts[1].listing,
	    (const uint8_t *)"{}");
	fleet_settle(&fleet);
	ck_assert(!fleet_is_settled(&fleet));
	fleet_load_done(&fleet, loading, WORK_OK, "", now);
	ck_assert(fleet_is_settled(&fleet));
	ck_assert_int_eq(fresh->status, STATUS_DISCOVERED);
	ck_assert(fleet_describe(loading, &h));
	ck_assert(!fleet_describe(fresh, &h));
	/* What is on its way out is waited for. */
	fleet_begin_unload(&fleet, loading, UNLOAD_WITHDRAWN, STATUS_UNLOADED);
	ck_assert(!fleet_is_settled(&fleet));
	fleet_unloaded(&fleet, loading, now);
	ck_assert(fleet_is_settled(&fleet));
	ck_assert(!fleet_describe(loading, &h));
	/* Kept for a way back: its files go along. */
	loading->evicted = true;
	ck_assert(fleet_describe(loading, &h));
	finish();
}
END_TEST

UNIT_MAIN("handover", written_is_read, every_cut_is_noticed,
    another_builds_record, wrong_values_are_refused, each_has_its_place,
    strangers_have_none, an_adopted_one_goes_on,
    the_state_file_has_the_last_word, over_its_time_it_goes_at_once,
    settling_begins_nothing_new)
