/* SPDX-License-Identifier: ISC */
/*
 * What differs between two plans of one object, and what is to be written to
 * go from the one to the other.
 */
#include "bpfd/plandiff.h"

#include <linux/bpf.h>
#include <string.h>

#include "common/memfd.h"
#include "common/strnum.h"
#include "tests/unit/unit.h"

enum { HASH, ARRAY, TRIE, DATA, MAPS };

/* A plan as it is made, and as it was checked. */
struct made {
	struct loadplan_builder *b;
	struct memfd_map map;
	struct loadplan plan;
};

static void
add_map(struct made *m, const char *name, uint32_t type, uint32_t key,
    uint32_t value)
{
	struct loadplan_map map = {
		.type = type,
		.key_size = key,
		.value_size = value,
		.max_entries = 8,
	};

	ck_assert_int_eq(str_copy(map.name, sizeof(map.name), name), 0);
	if (type == BPF_MAP_TYPE_ARRAY)
		map.flags = LOADPLAN_MAP_STATS;
	ck_assert_int_eq(loadplan_add_map(m->b, &map), 0);
}

static void
begin(struct made *m)
{
	struct loadplan_prog prog = { .name = "p", .autoload = 1 };
	struct loadplan_header *h;

	memset(m, 0, sizeof(*m));
	m->b = loadplan_builder_new();
	ck_assert_ptr_nonnull(m->b);
	h = loadplan_builder_header(m->b);
	strcpy(h->object_name, "o");
	strcpy(h->name, "n");
	strcpy(h->artifact_version, "1.0.0");
	h->limits = (struct loadplan_limits){ -1, -1, -1, -1, -1 };
	ck_assert_int_eq(loadplan_add_prog(m->b, &prog), 0);
	add_map(m, "hash", BPF_MAP_TYPE_HASH, 4, 4);
	add_map(m, "array", BPF_MAP_TYPE_ARRAY, 4, 4);
	add_map(m, "trie", BPF_MAP_TYPE_LPM_TRIE, 8, 4);
	add_map(m, ".data", BPF_MAP_TYPE_ARRAY, 4, 16);
}

static void
element(struct made *m, uint32_t map, const void *key, uint32_t key_len,
    uint32_t value)
{
	struct loadplan_write w = {
		.kind = WRITE_ELEMENT,
		.map = map,
		.value_len = sizeof(value),
	};

	ck_assert_int_eq(loadplan_add_data(m->b, key, key_len, &w.key_off), 0);
	ck_assert_int_eq(
	    loadplan_add_data(m->b, &value, sizeof(value), &w.value_off), 0);
	ck_assert_int_eq(loadplan_add_write(m->b, &w), 0);
}

static void
number(struct made *m, uint32_t map, uint32_t key, uint32_t value)
{
	element(m, map, &key, sizeof(key), value);
}

static void
prefix(struct made *m, uint32_t bits, uint8_t a, uint8_t b, uint32_t value)
{
	uint8_t key[8] = { 0 };

	memcpy(key, &bits, sizeof(bits));
	key[4] = a;
	key[5] = b;
	element(m, TRIE, key, sizeof(key), value);
}

static void
global(struct made *m, uint32_t offset, uint32_t value)
{
	struct loadplan_write w = {
		.kind = WRITE_INITIAL,
		.map = DATA,
		.offset = offset,
		.value_len = sizeof(value),
	};

	ck_assert_int_eq(
	    loadplan_add_data(m->b, &value, sizeof(value), &w.value_off), 0);
	ck_assert_int_eq(loadplan_add_write(m->b, &w), 0);
}

static void
end(struct made *m)
{
	_cleanup_fd_ int fd = loadplan_finish(m->b);
	const char *what = "";

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(memfd_map(fd, AEGIS_PLAN_MAX, &m->map), 0);
	ck_assert_msg(
	    loadplan_check(m->map.data, m->map.len, &m->plan, &what) == 0, "%s",
	    what);
	loadplan_builder_free(m->b);
}

static void
drop(struct made *m)
{
	memfd_unmap(&m->map);
}

/* "h1=5 h2- ...": what the elements say. */
static void
check(const struct made *from, const struct made *to, const char *want)
{
	_cleanup_free_ struct plandiff_element *all = NULL;
	char text[256] = "";
	size_t count = 0, i, n = 0;
	uint32_t value;

	ck_assert_int_eq(
	    plandiff_elements(&from->plan, &to->plan, &all, &count), 0);
	for (i = 0; i < count; i++) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%c%u",
		    "hatd"[all[i].map], all[i].key[all[i].map == TRIE ? 5 : 0]);
		if (all[i].value != NULL) {
			memcpy(&value, all[i].value, sizeof(value));
			n += (size_t)snprintf(
			    text + n, sizeof(text) - n, "=%u ", value);
		} else {
			n += (size_t)snprintf(text + n, sizeof(text) - n, "- ");
		}
	}
	ck_assert_str_eq(text, want);
}

START_TEST (what_goes_comes_before_what_comes) {
	struct made a, b;

	begin(&a);
	number(&a, HASH, 1, 10);
	number(&a, HASH, 2, 20);
	number(&a, HASH, 3, 30);
	number(&a, ARRAY, 0, 1);
	number(&a, ARRAY, 1, 1);
	end(&a);
	begin(&b);
	number(&b, HASH, 4, 40);
	number(&b, HASH, 2, 20);
	number(&b, HASH, 3, 31);
	number(&b, ARRAY, 1, 2);
	end(&b);
	ck_assert_ptr_null(plandiff_shape(&a.plan, &b.plan));
	check(&a, &b, "h1- a0- h3=31 h4=40 a1=2 ");
	check(&b, &a, "h4- h1=10 h3=30 a0=1 a1=1 ");
	check(&a, &a, "");
	drop(&a);
	drop(&b);
}
END_TEST

START_TEST (the_last_write_of_a_key_counts) {
	struct made a, b;

	begin(&a);
	number(&a, HASH, 1, 10);
	number(&a, HASH, 2, 5);
	number(&a, HASH, 1, 11);
	end(&a);
	begin(&b);
	number(&b, HASH, 1, 11);
	number(&b, HASH, 2, 9);
	number(&b, HASH, 2, 6);
	end(&b);
	check(&a, &b, "h2=6 ");
	drop(&a);
	drop(&b);
}
END_TEST

/* 10.1/8 and 10.2/8 are one prefix; 10.1/16 is another. */
START_TEST (prefixes_are_compared_by_their_bits) {
	struct made a, b;

	begin(&a);
	prefix(&a, 8, 10, 1, 1);
	prefix(&a, 8, 10, 2, 7);
	prefix(&a, 12, 10, 0x1f, 3);
	end(&a);
	begin(&b);
	prefix(&b, 8, 10, 3, 7);
	prefix(&b, 12, 10, 0x10, 4);
	prefix(&b, 16, 10, 1, 5);
	end(&b);
	check(&a, &b, "t16=4 t1=5 ");
	drop(&a);
	drop(&b);
}
END_TEST

START_TEST (globals_are_an_image_of_what_was_written) {
	struct plandiff_globals g;
	struct made a;

	begin(&a);
	global(&a, 4, 0x01020304);
	global(&a, 6, 0x0a0b0c0d);
	end(&a);
	ck_assert_int_eq(plandiff_globals(&a.plan, DATA, &g), 0);
	ck_assert_mem_eq(
	    g.value, "\0\0\0\0\x04\x03\x0d\x0c\x0b\x0a\0\0\0\0\0\0", 16);
	ck_assert_mem_eq(g.written, "\0\0\0\0\1\1\1\1\1\1\0\0\0\0\0\0", 16);
	plandiff_globals_free(&g);
	drop(&a);
}
END_TEST

START_TEST (anything_else_than_values_is_named) {
	static const char *const rows[] = {
		"its metadata would change",
		"what its programs attach to would change",
		"its maps would change",
		"its attachments would change",
		"its counters would change",
	};
	struct loadplan_counter counter = { .map = ARRAY, .size = 4 };
	struct loadplan_attach attach = { .target = "lo" };
	struct made a, b;
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		begin(&a);
		begin(&b);
		ck_assert_int_eq(loadplan_add_attach(a.b, &attach), 0);
		if (i == 0)
			loadplan_builder_header(b.b)->sequence = 7;
		if (i == 1)
			loadplan_builder_prog(b.b, 0)->prog_type = 6;
		if (i == 2)
			loadplan_builder_map(b.b, 1)->max_entries = 9;
		if (i == 3)
			strcpy(attach.target, "eth0");
		ck_assert_int_eq(loadplan_add_attach(b.b, &attach), 0);
		strcpy(attach.target, "lo");
		ck_assert_int_eq(loadplan_add_counter(a.b, &counter), 0);
		counter.kind = i == 4 ? COUNTER_ERRORS : COUNTER_PACKETS;
		ck_assert_int_eq(loadplan_add_counter(b.b, &counter), 0);
		counter.kind = COUNTER_PACKETS;
		end(&a);
		end(&b);
		ck_assert_str_eq(plandiff_shape(&a.plan, &b.plan), rows[i]);
		drop(&a);
		drop(&b);
	}
}
END_TEST

UNIT_MAIN("plandiff", what_goes_comes_before_what_comes,
    the_last_write_of_a_key_counts, prefixes_are_compared_by_their_bits,
    globals_are_an_image_of_what_was_written,
    anything_else_than_values_is_named)
