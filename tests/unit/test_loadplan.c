/* SPDX-License-Identifier: ISC */
/*
 * The gate before bpfd: every check refuses when its field is broken, and
 * what passes has nothing out of bounds.
 */
#include <float.h>

#include "common/loadplan.h"
#include "tests/unit/flat.h"

/* Where the records of the plan below lie, for the tests that break them. */
struct parts {
	struct loadplan_header *h;
	struct loadplan_prog *progs;
	struct loadplan_map *maps;
	struct loadplan_attach *attaches;
	struct loadplan_counter *counters;
	struct loadplan_write *writes;
};

static void
fill_maps(struct loadplan_builder *b)
{
	struct loadplan_map map = {
		.name = "aegis_stats",
		.type = 2,
		.key_size = 4,
		.value_size = 24,
		.max_entries = 1,
		.flags = LOADPLAN_MAP_STATS,
	};

	ck_assert_int_eq(loadplan_add_map(b, &map), 0);
	strcpy(map.name, ".rodata");
	map.value_size = 16;
	map.flags = 0;
	ck_assert_int_eq(loadplan_add_map(b, &map), 0);
}

static void
fill_writes(struct loadplan_builder *b)
{
	static const uint8_t value[24] = { 1 };
	struct loadplan_write write = { .kind = WRITE_INITIAL, .map = 1 };
	struct loadplan_counter counter = {
		.kind = COUNTER_VIOLATIONS,
		.map = 0,
		.offset = 16,
		.size = 8,
	};

	ck_assert_int_eq(loadplan_add_counter(b, &counter), 0);
	write.offset = 8;
	write.value_len = 8;
	ck_assert_int_eq(loadplan_add_data(b, value, 8, &write.value_off), 0);
	ck_assert_int_eq(loadplan_add_write(b, &write), 0);
	write = (struct loadplan_write){
		.kind = WRITE_ELEMENT,
		.value_len = 24,
	};
	ck_assert_int_eq(loadplan_add_data(b, value, 4, &write.key_off), 0);
	ck_assert_int_eq(loadplan_add_data(b, value, 24, &write.value_off), 0);
	ck_assert_int_eq(loadplan_add_write(b, &write), 0);
}

static void *
make_plan(size_t *len)
{
	_cleanup_(loadplan_builder_freep) struct loadplan_builder *b = NULL;
	struct loadplan_prog prog = { .name = "xdp_drop", .autoload = 1 };
	struct loadplan_attach attach = {
		.kind = ATTACH_XDP,
		.flags = LOADPLAN_XDP_SKB,
		.target = "eth0",
	};
	struct loadplan_header *h;

	b = loadplan_builder_new();
	ck_assert_ptr_nonnull(b);
	h = loadplan_builder_header(b);
	strcpy(h->object_name, "program");
	strcpy(h->name, "xdp_drop_cidr");
	strcpy(h->artifact_version, "1.2.0");
	h->limits.max_errors = -1;
	ck_assert_int_eq(
	    loadplan_add_data(b, "target", 6, &prog.attach_target_off), 0);
	prog.attach_target_len = 6;
	ck_assert_int_eq(loadplan_add_prog(b, &prog), 0);
	strcpy(prog.name, "spare");
	prog.autoload = 0;
	ck_assert_int_eq(loadplan_add_prog(b, &prog), 0);
	fill_maps(b);
	ck_assert_int_eq(loadplan_add_attach(b, &attach), 0);
	fill_writes(b);
	return flat_read(loadplan_finish(b), len);
}

static struct parts
find_parts(void *bytes)
{
	struct parts p = { .h = bytes };

	p.progs = (void *)(p.h + 1);
	p.maps = (void *)(p.progs + p.h->prog_count);
	p.attaches = (void *)(p.maps + p.h->map_count);
	p.counters = (void *)(p.attaches + p.h->attach_count);
	p.writes = (void *)(p.counters + p.h->counter_count);
	return p;
}

START_TEST (what_was_built_is_read_back) {
	struct loadplan plan;
	const char *what;
	size_t len;
	_cleanup_free_ void *bytes = make_plan(&len);

	ck_assert_int_eq(loadplan_check(bytes, len, &plan, &what), 0);
	ck_assert_ptr_null(what);
	ck_assert_uint_eq(plan.header->prog_count, 2);
	ck_assert_str_eq(plan.progs[1].name, "spare");
	ck_assert_mem_eq(
	    plan.data + plan.progs[0].attach_target_off, "target", 6);
	ck_assert_str_eq(plan.maps[1].name, ".rodata");
	ck_assert_str_eq(plan.attaches[0].target, "eth0");
	ck_assert_uint_eq(plan.counters[0].offset, 16);
	ck_assert_uint_eq(plan.writes[1].value_len, 24);
	ck_assert_uint_eq(plan.data[plan.writes[1].value_off], 1);
}
END_TEST

/* Break one thing in a fresh copy; the check must name what is wrong. */
#define REFUSED(words, ...)                                                    \
	do {                                                                   \
		void *copy_ = flat_copy(bytes, len);                           \
		struct parts p = find_parts(copy_);                            \
		struct loadplan plan_;                                         \
		const char *what_;                                             \
                                                                               \
		__VA_ARGS__;                                                   \
		ck_assert_int_eq(                                              \
		    loadplan_check(copy_, len, &plan_, &what_), -EBADMSG);     \
		ck_assert_ptr_nonnull(what_);                                  \
		ck_assert_msg(strstr(what_, words) != NULL,                    \
		    "'%s' does not say '%s'", what_, words);                   \
		free(copy_);                                                   \
	} while (0)

START_TEST (header_is_checked) {
	size_t len;
	_cleanup_free_ void *bytes = make_plan(&len);

	REFUSED("magic", p.h->magic++);
	REFUSED("magic", p.h->version++);
	REFUSED("length", p.h->total_len++);
	REFUSED("length", p.h->total_len = 0);
	REFUSED("count", p.h->prog_count = 0);
	REFUSED("count", p.h->prog_count = LOADPLAN_MAX_PROGS + 1);
	REFUSED("count", p.h->map_count = LOADPLAN_MAX_MAPS + 1);
	REFUSED("count", p.h->attach_count = LOADPLAN_MAX_ATTACHES + 1);
	REFUSED("count", p.h->counter_count = LOADPLAN_MAX_COUNTERS + 1);
	REFUSED("count", p.h->write_count = LOADPLAN_MAX_WRITES + 1);
	REFUSED("longer", p.h->prog_count = LOADPLAN_MAX_PROGS);
	REFUSED("longer", p.h->write_count = LOADPLAN_MAX_WRITES);
	REFUSED("longer", p.h->data_len++);
	REFUSED("longer", p.h->data_len--);
	REFUSED("name", p.h->object_name[0] = '\0');
	REFUSED("name", p.h->name[0] = '/');
	REFUSED("name", p.h->name[3] = '\n');
	REFUSED("name",
	    memset(p.h->artifact_version, '1', sizeof(p.h->artifact_version)));
	REFUSED("name", strcpy(p.h->replaces, "../etc"));
}
END_TEST

START_TEST (every_length_but_its_own_is_refused) {
	struct loadplan plan;
	const char *what;
	void *copy;
	size_t len, n;
	_cleanup_free_ void *bytes = make_plan(&len);

	for (n = 0; n < len; n++) {
		copy = flat_copy(bytes, n);
		ck_assert_int_eq(
		    loadplan_check(copy, n, &plan, &what), -EBADMSG);
		free(copy);
	}
}
END_TEST

START_TEST (programs_and_attachments_are_checked) {
	size_t len;
	_cleanup_free_ void *bytes = make_plan(&len);

	REFUSED("program: name", p.progs[1].name[0] = '\0');
	REFUSED("program: name",
	    memset(p.progs[0].name, 'x', sizeof(p.progs[0].name)));
	REFUSED("program: name", p.progs[0].name[1] = '\x1b');
	REFUSED("autoload", p.progs[1].autoload = 2);
	REFUSED("target", p.progs[0].attach_target_off = p.h->data_len);
	REFUSED("target", p.progs[0].attach_target_off = UINT32_MAX);
	REFUSED("target", p.progs[0].attach_target_len = p.h->data_len + 1);
	REFUSED("attachment: program", p.attaches[0].prog = 2);
	/* a program that is not loaded cannot be attached */
	REFUSED("attachment: program", p.attaches[0].prog = 1);
	REFUSED("kind", p.attaches[0].kind = ATTACH_KIND_MAX);
	REFUSED("kind", p.attaches[0].kind = UINT32_MAX);
	REFUSED("flags", p.attaches[0].flags = 1u << 31);
	REFUSED("flags", p.attaches[0].kind = ATTACH_CGROUP_CONNECT4);
	REFUSED("attachment: target", p.attaches[0].target[0] = '\0');
	REFUSED("attachment: target", p.attaches[0].target[1] = '\r');
	REFUSED("attachment: target",
	    memset(p.attaches[0].target, 'e', sizeof(p.attaches[0].target)));
	/* what only probes have */
	REFUSED("attachment: target", p.attaches[0].offset = 1);
	REFUSED("attachment: target", p.attaches[0].rate = 1);
	REFUSED("attachment: target", p.attaches[0].name_len = 1);
	REFUSED("attachment: target", p.attaches[0].symbols_len = 1);
	REFUSED("attachment: target", p.attaches[0].symbols_off = UINT32_MAX);
	REFUSED("attachment: target", p.attaches[0].flags = 0,
	    p.attaches[0].kind = ATTACH_TRACEPOINT);
	REFUSED("attachment: target", p.attaches[0].flags = 0,
	    p.attaches[0].kind = ATTACH_KPROBE, p.attaches[0].name_len = 200);
	REFUSED("attachment: target", p.attaches[0].flags = 0,
	    p.attaches[0].kind = ATTACH_UPROBE, p.attaches[0].name_len = 4);
	REFUSED("attachment: target", p.attaches[0].flags = 0,
	    p.attaches[0].kind = ATTACH_NETFILTER);
}
END_TEST

START_TEST (maps_counters_and_writes_are_checked) {
	size_t len;
	_cleanup_free_ void *bytes = make_plan(&len);

	REFUSED("map: name", p.maps[0].name[0] = '\0');
	REFUSED("map: flags", p.maps[1].flags = 1u << 30);
	REFUSED("counter: kind", p.counters[0].kind = COUNTER_KIND_MAX);
	REFUSED("counter: map", p.counters[0].map = 2);
	REFUSED("counter: map", p.counters[0].map = 1); /* no stats map */
	REFUSED("counter: size", p.counters[0].size = 3);
	REFUSED("counter: size", p.counters[0].size = 0);
	REFUSED("counter: offset", p.counters[0].offset = 17);
	REFUSED("counter: offset", p.counters[0].offset = UINT32_MAX - 3);
	REFUSED("write: kind", p.writes[0].kind = 2);
	REFUSED("write: map", p.writes[0].map = 2);
	REFUSED("outside", p.writes[0].value_off = p.h->data_len);
	REFUSED("outside", p.writes[0].value_off = UINT32_MAX);
	REFUSED("beyond", p.writes[0].offset = 9);
	REFUSED("beyond", p.writes[0].offset = UINT32_MAX);
	REFUSED("beyond", p.writes[0].value_len = 0);
	REFUSED("size", p.writes[1].value_len = 23);
	REFUSED("size", p.writes[1].key_off = p.h->data_len - 3);
	REFUSED("size", p.writes[1].key_off = UINT32_MAX);
}
END_TEST

/* Read all that a plan points to, as bpfd would. */
static uint64_t
walk(const struct loadplan *plan)
{
	const struct loadplan_write *w;
	const struct loadplan_prog *prog;
	uint64_t sum = 0;
	uint32_t i, j;

	for (i = 0; i < plan->header->prog_count; i++) {
		prog = &plan->progs[i];
		sum += strlen(prog->name);
		for (j = 0; j < prog->attach_target_len; j++)
			sum += plan->data[prog->attach_target_off + j];
	}
	for (i = 0; i < plan->header->attach_count; i++)
		sum += strlen(plan->attaches[i].target) +
		    plan->progs[plan->attaches[i].prog].autoload;
	for (i = 0; i < plan->header->counter_count; i++)
		sum += plan->maps[plan->counters[i].map].flags;
	for (i = 0; i < plan->header->write_count; i++) {
		w = &plan->writes[i];
		for (j = 0; j < w->value_len; j++)
			sum += plan->data[w->value_off + j];
		for (j = 0; w->kind == WRITE_ELEMENT &&
		     j < plan->maps[w->map].key_size;
		     j++)
			sum += plan->data[w->key_off + j];
	}
	return sum;
}

START_TEST (changed_at_random_it_is_refused_or_in_bounds) {
	uint64_t state = 0x9e3779b97f4a7c15, sum = 0;
	unsigned int i, passed = 0;
	struct loadplan plan;
	const char *what;
	size_t len;
	_cleanup_free_ void *bytes = make_plan(&len);
	uint8_t *copy;

	for (i = 0; i < 20000; i++) {
		copy = flat_copy(bytes, len);
		flat_mutate(copy, len, &state);
		if (loadplan_check(copy, len, &plan, &what) == 0) {
			sum += walk(&plan);
			passed++;
		}
		free(copy);
	}
	/* Both ways must have been walked, or the test shows nothing. */
	ck_assert_uint_gt(passed, 100);
	ck_assert_uint_lt(passed, 19900);
	ck_assert_uint_gt(sum, 0);
}
END_TEST

START_TEST (builder_keeps_the_maxima) {
	_cleanup_(loadplan_builder_freep) struct loadplan_builder *b = NULL;
	struct loadplan_prog prog = { .name = "p" };
	struct loadplan_counter counter = { 0 };
	unsigned int i;

	b = loadplan_builder_new();
	for (i = 0; i < LOADPLAN_MAX_PROGS; i++)
		ck_assert_int_eq(loadplan_add_prog(b, &prog), 0);
	ck_assert_int_eq(loadplan_add_prog(b, &prog), -E2BIG);
	for (i = 0; i < LOADPLAN_MAX_COUNTERS; i++)
		ck_assert_int_eq(loadplan_add_counter(b, &counter), 0);
	ck_assert_int_eq(loadplan_add_counter(b, &counter), -E2BIG);
}
END_TEST

UNIT_MAIN("loadplan", what_was_built_is_read_back, header_is_checked,
    every_length_but_its_own_is_refused, programs_and_attachments_are_checked,
    maps_counters_and_writes_are_checked,
    changed_at_random_it_is_refused_or_in_bounds, builder_keeps_the_maxima)
