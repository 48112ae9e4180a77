/* SPDX-License-Identifier: ISC */
/*
 * The flat records between processes: what is well made passes its gate,
 * what is not in bounds does not, and no bytes at all make a reader crash.
 */
#include <stddef.h>
#include <string.h>

#include "common/artlist.h"
#include "common/keyset.h"
#include "common/loadplan.h"
#include "common/memfd.h"
#include "common/snapshot.h"
#include "common/strnum.h"
#include "tests/unit/unit.h"

#define MUTATIONS 20000

/* A private, writable copy of a sealed memfd. */
static uint8_t *
copy_of(int fd, size_t *len)
{
	struct memfd_map map;
	uint8_t *bytes;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(memfd_map(fd, 1 << 26, &map), 0);
	bytes = malloc(map.len);
	memcpy(bytes, map.data, map.len);
	*len = map.len;
	memfd_unmap(&map);
	(void)close(fd);
	return bytes;
}

/* ---- load plan ---- */

static uint8_t *
make_plan(size_t *len)
{
	struct loadplan_builder *b = loadplan_builder_new();
	struct loadplan_header *h = loadplan_builder_header(b);
	struct loadplan_prog prog = { .name = "xdp_drop", .autoload = 1 };
	struct loadplan_map map = { .name = "stats",
		.key_size = 4,
		.value_size = 32,
		.max_entries = 1,
		.flags = LOADPLAN_MAP_STATS };
	struct loadplan_attach attach = {
		.kind = ATTACH_XDP, .target = "eth0", .flags = LOADPLAN_XDP_SKB
	};
	struct loadplan_counter counter = {
		.kind = COUNTER_ERRORS, .offset = 24, .size = 8
	};
	struct loadplan_write write = { .kind = WRITE_ELEMENT,
		.value_len = 32 };
	uint8_t *bytes;

	ck_assert_int_eq(
	    str_copy(h->object_name, sizeof(h->object_name), "program"), 0);
	ck_assert_int_eq(str_copy(h->name, sizeof(h->name), "n"), 0);
	ck_assert_int_eq(
	    str_copy(h->artifact_version, sizeof(h->artifact_version), "1.0.0"),
	    0);
	ck_assert_int_eq(
	    loadplan_add_data(b, "\0\0\0\0", 4, &write.key_off), 0);
	ck_assert_int_eq(
	    loadplan_add_data(
		b, "0123456789abcdef0123456789abcdef", 32, &write.value_off),
	    0);
	ck_assert_int_eq(loadplan_add_prog(b, &prog), 0);
	ck_assert_int_eq(loadplan_add_map(b, &map), 0);
	ck_assert_int_eq(loadplan_add_attach(b, &attach), 0);
	ck_assert_int_eq(loadplan_add_counter(b, &counter), 0);
	ck_assert_int_eq(loadplan_add_write(b, &write), 0);
	bytes = copy_of(loadplan_finish(b), len);
	loadplan_builder_free(b);
	return bytes;
}

/* The records of the plan above, to be broken one field at a time. */
struct plan_records {
	struct loadplan_header header;
	struct loadplan_prog prog;
	struct loadplan_map map;
	struct loadplan_attach attach;
	struct loadplan_counter counter;
	struct loadplan_write write;
	uint8_t data[36];
};

#define REFUSES_PLAN(field, value)                                             \
	do {                                                                   \
		struct plan_records broken = { 0 };                            \
		struct loadplan plan_;                                         \
		const char *what_;                                             \
                                                                               \
		memcpy(&broken, bytes, len);                                   \
		broken.field = (value);                                        \
		ck_assert_msg(                                                 \
		    loadplan_check(&broken, len, &plan_, &what_) == -EBADMSG,  \
		    "%s = %s passes", #field, #value);                         \
		ck_assert_ptr_nonnull(what_);                                  \
	} while (0)

START_TEST (a_plan_out_of_bounds_is_refused) {
	size_t len;
	uint8_t *bytes = make_plan(&len);
	struct loadplan plan;
	const char *what;

	ck_assert_uint_eq(len, offsetof(struct plan_records, data) + 36);
	ck_assert_int_eq(loadplan_check(bytes, len, &plan, &what), 0);
	ck_assert_str_eq(plan.attaches[0].target, "eth0");
	REFUSES_PLAN(header.magic, 0);
	REFUSES_PLAN(header.version, 2);
	REFUSES_PLAN(header.total_len, len + 1);
	REFUSES_PLAN(header.prog_count, 0);
	REFUSES_PLAN(header.prog_count, 2);
	REFUSES_PLAN(header.prog_count, UINT32_MAX);
	REFUSES_PLAN(header.map_count, LOADPLAN_MAX_MAPS + 1);
	REFUSES_PLAN(header.attach_count, UINT32_MAX);
	REFUSES_PLAN(header.write_count, UINT32_MAX);
	REFUSES_PLAN(header.data_len, 35);
	REFUSES_PLAN(header.name[0], '/');
	REFUSES_PLAN(header.object_name[0], '\0');
	REFUSES_PLAN(header.replaces[0], '\n');
	REFUSES_PLAN(prog.name[0], '\0');
	REFUSES_PLAN(prog.name[0], '\x1b');
	REFUSES_PLAN(prog.autoload, 2);
	REFUSES_PLAN(prog.autoload, 0); /* attached, but not loaded */
	REFUSES_PLAN(prog.attach_target_off, 37);
	REFUSES_PLAN(prog.attach_target_len, 37);
	REFUSES_PLAN(prog.attach_target_len, UINT32_MAX);
	REFUSES_PLAN(map.name[0], '\0');
	REFUSES_PLAN(map.flags, 1u << 31);
	REFUSES_PLAN(map.flags, 0); /* a counter in a map that is no stats */
	REFUSES_PLAN(attach.prog, 1);
	REFUSES_PLAN(attach.kind, ATTACH_KIND_MAX);
	REFUSES_PLAN(attach.kind, ATTACH_LSM); /* with XDP's flags */
	REFUSES_PLAN(attach.flags, 1u << 31);
	REFUSES_PLAN(attach.target[0], '\0');
	REFUSES_PLAN(counter.kind, COUNTER_KIND_MAX);
	REFUSES_PLAN(counter.map, 1);
	REFUSES_PLAN(counter.size, 3);
	REFUSES_PLAN(counter.offset, 25);
	REFUSES_PLAN(counter.offset, UINT32_MAX);
	REFUSES_PLAN(write.kind, 2);
	REFUSES_PLAN(write.map, 1);
	REFUSES_PLAN(write.key_off, 33);
	REFUSES_PLAN(write.value_off, 5);
	REFUSES_PLAN(write.value_len, 31);
	REFUSES_PLAN(write.value_len, UINT32_MAX);
	ck_assert_int_eq(loadplan_check(bytes, 8, &plan, &what), -EBADMSG);
	free(bytes);
}
END_TEST

START_TEST (a_builder_knows_its_maxima) {
	struct loadplan_builder *b = loadplan_builder_new();
	struct loadplan_prog prog = { .name = "p" };
	uint32_t i;

	for (i = 0; i < LOADPLAN_MAX_PROGS; i++)
		ck_assert_int_eq(loadplan_add_prog(b, &prog), 0);
	ck_assert_int_eq(loadplan_add_prog(b, &prog), -E2BIG);
	loadplan_builder_free(b);
}
END_TEST

/* ---- list ---- */

static uint8_t *
make_list(size_t *len)
{
	struct artlist_entry e[2] = { { .artifact_id = "a",
					  .name = "n",
					  .version = "1.0.0",
					  .ttl_sec = -1 },
		{ .artifact_id = "b",
		    .name = "n",
		    .version = "1.0.0",
		    .params_off = 2,
		    .params_len = 2 } };

	return copy_of(artlist_write(e, 2, "{}{}", 4), len);
}

#define REFUSES_LIST(field, value)                                             \
	do {                                                                   \
		struct {                                                       \
			struct artlist_header header;                          \
			struct artlist_entry entry[2];                         \
			uint8_t data[8];                                       \
		} broken = { 0 };                                              \
		struct artlist list_;                                          \
		const char *what_;                                             \
                                                                               \
		memcpy(&broken, bytes, len);                                   \
		broken.field = (value);                                        \
		ck_assert_msg(                                                 \
		    artlist_check(&broken, len, &list_, &what_) == -EBADMSG,   \
		    "%s = %s passes", #field, #value);                         \
	} while (0)

START_TEST (a_list_out_of_bounds_is_refused) {
	size_t len;
	uint8_t *bytes = make_list(&len);
	struct artlist list;
	const char *what;

	ck_assert_int_eq(artlist_check(bytes, len, &list, &what), 0);
	ck_assert_uint_eq(list.header->entry_count, 2);
	REFUSES_LIST(header.magic, 0);
	REFUSES_LIST(header.version, 0);
	REFUSES_LIST(header.total_len, len - 1);
	REFUSES_LIST(header.entry_count, 3);
	REFUSES_LIST(header.entry_count, AEGIS_LIST_ENTRIES + 1);
	REFUSES_LIST(header.data_len, 5);
	REFUSES_LIST(entry[0].artifact_id[0], '/');
	REFUSES_LIST(entry[0].artifact_id[0], 'b'); /* twice the same id */
	REFUSES_LIST(entry[0].name[0], '\0');
	REFUSES_LIST(entry[0].version[0], '.');
	REFUSES_LIST(entry[0].architecture[0], ' ');
	REFUSES_LIST(entry[0].signature[0], '\n');
	REFUSES_LIST(entry[0].ttl_sec, -2);
	REFUSES_LIST(entry[1].params_off, 3);
	REFUSES_LIST(entry[1].params_len, UINT32_MAX);
	free(bytes);
}
END_TEST

/* ---- key set ---- */

START_TEST (a_key_set_out_of_bounds_is_refused) {
	static struct {
		struct keyset_header header;
		struct keyset_key key;
	} s = { { KEYSET_MAGIC, KEYSET_VERSION, 1, 1 },
		{ .version = 1, .text_len = 3, .text = "key" } };
	struct keyset set;
	const char *what;

	ck_assert_int_eq(keyset_check(&s, sizeof(s), &set, &what), 0);
	ck_assert_int_eq(
	    keyset_check(&s, sizeof(s) - 1, &set, &what), -EBADMSG);
	s.key.text_len = sizeof(s.key.text) + 1;
	ck_assert_int_eq(keyset_check(&s, sizeof(s), &set, &what), -EBADMSG);
	s.key.text_len = 3;
	s.key.version = 0;
	ck_assert_int_eq(keyset_check(&s, sizeof(s), &set, &what), -EBADMSG);
	s.key.version = 1;
	s.header.key_count = KEYSET_KEYS_MAX + 1;
	ck_assert_int_eq(keyset_check(&s, sizeof(s), &set, &what), -EBADMSG);
}
END_TEST

/* ---- any bytes ---- */

/* Small, fast and the same in every run. */
static uint32_t
next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static void
mutate(uint8_t *bytes, size_t len, uint32_t *seed)
{
	static const uint8_t odd[] = { 0, 1, 0x7f, 0x80, 0xff };
	unsigned int n = 1 + next_random(seed) % 4;

	while (n-- > 0)
		bytes[next_random(seed) % len] =
		    odd[next_random(seed) % nitems(odd)];
}

START_TEST (no_bytes_crash_a_reader) {
	size_t len[2], cut;
	uint8_t *from[2] = { make_plan(&len[0]), make_list(&len[1]) };
	uint32_t seed = 42;
	struct snapshot snap;
	struct loadplan plan;
	struct artlist list;
	struct keyset set;
	const char *what;
	uint8_t *bytes;
	unsigned int i, passed = 0;

	for (i = 0; i < MUTATIONS; i++) {
		cut = len[i & 1];
		bytes = malloc(cut); /* exact, so that ASan sees one past */
		memcpy(bytes, from[i & 1], cut);
		mutate(bytes, cut, &seed);
		if (i % 16 == 0)
			cut = next_random(&seed) % cut;
		passed += loadplan_check(bytes, cut, &plan, &what) == 0;
		passed += artlist_check(bytes, cut, &list, &what) == 0;
		passed += snapshot_check(bytes, cut, &snap, &what) == 0;
		passed += keyset_check(bytes, cut, &set, &what) == 0;
		free(bytes);
	}
	/* Some mutations hit free bytes; most do not matter, none crashes. */
	ck_assert_uint_gt(passed, 0);
	free(from[0]);
	free(from[1]);
}
END_TEST

START_TEST (a_snapshot_out_of_bounds_is_refused) {
	static struct {
		struct snapshot_header header;
		struct snapshot_program program;
		char data[8];
	} s;
	struct snapshot snap;
	const char *what;

	s.header.magic = SNAPSHOT_MAGIC;
	s.header.version = SNAPSHOT_VERSION;
	s.header.total_len = sizeof(s);
	s.header.program_count = 1;
	s.header.data_len = 8;
	s.program.error.len = 8;
	ck_assert_int_eq(snapshot_check(&s, sizeof(s), &snap, &what), 0);
	s.program.error.off = 1;
	ck_assert_int_eq(snapshot_check(&s, sizeof(s), &snap, &what), -EBADMSG);
	s.program.error.off = 0;
	s.program.attach_count = 1;
	ck_assert_int_eq(snapshot_check(&s, sizeof(s), &snap, &what), -EBADMSG);
	s.program.attach_count = 0;
	s.program.status = STATUS_MAX;
	ck_assert_int_eq(snapshot_check(&s, sizeof(s), &snap, &what), -EBADMSG);
	s.program.status = 0;
	s.header.worker_count = 1;
	ck_assert_int_eq(snapshot_check(&s, sizeof(s), &snap, &what), -EBADMSG);
	s.header.worker_count = 0;
	memset(s.header.host_id, 'x', sizeof(s.header.host_id));
	ck_assert_int_eq(snapshot_check(&s, sizeof(s), &snap, &what), -EBADMSG);
}
END_TEST

UNIT_MAIN("flat", a_plan_out_of_bounds_is_refused, a_builder_knows_its_maxima,
    a_list_out_of_bounds_is_refused, a_key_set_out_of_bounds_is_refused,
    a_snapshot_out_of_bounds_is_refused, no_bytes_crash_a_reader)
