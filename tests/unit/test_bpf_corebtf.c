/* SPDX-License-Identifier: ISC */
/* bpfd: the part of the kernel's BTF that an object can ask about. */
#include <bpf/btf.h>
#include <linux/btf.h>
#include <string.h>

#include "bpfd/corebtf.h"
#include "bpfd/corebtf_names.h"
#include "unit.h"

/*
 * A kernel in small:
 *	struct inner { int x; };
 *	struct far { int y; struct inner i; };
 *	struct outer { struct inner in; struct far *p; const struct far *cp;
 *	    struct { int z; } *anon; int array[3]; };
 *	typedef struct far *far_ptr;
 *	struct unrelated { int x; };
 */
struct world {
	struct btf *btf;
	int i, inner, far, outer, far_ptr, unrelated;
};

static void
make_world(struct world *w)
{
	struct btf *b = btf__new_empty();
	int p, c, cp, anon, ap, array;

	w->btf = b;
	w->i = btf__add_int(b, "int", 4, BTF_INT_SIGNED);
	w->unrelated = btf__add_struct(b, "unrelated", 4);
	ck_assert_int_eq(btf__add_field(b, "x", w->i, 0, 0), 0);
	w->inner = btf__add_struct(b, "inner", 4);
	ck_assert_int_eq(btf__add_field(b, "x", w->i, 0, 0), 0);
	w->far = btf__add_struct(b, "far", 8);
	ck_assert_int_eq(btf__add_field(b, "y", w->i, 0, 0), 0);
	ck_assert_int_eq(btf__add_field(b, "i", w->inner, 32, 0), 0);
	p = btf__add_ptr(b, w->far);
	c = btf__add_const(b, w->far);
	cp = btf__add_ptr(b, c);
	anon = btf__add_struct(b, NULL, 4);
	ck_assert_int_eq(btf__add_field(b, "z", w->i, 0, 0), 0);
	ap = btf__add_ptr(b, anon);
	array = btf__add_array(b, w->i, w->i, 3);
	w->outer = btf__add_struct(b, "outer", 48);
	ck_assert_int_eq(btf__add_field(b, "in", w->inner, 0, 0), 0);
	ck_assert_int_eq(btf__add_field(b, "p", p, 64, 0), 0);
	ck_assert_int_eq(btf__add_field(b, "cp", cp, 128, 0), 0);
	ck_assert_int_eq(btf__add_field(b, "anon", ap, 192, 0), 0);
	ck_assert_int_eq(btf__add_field(b, "array", array, 256, 0), 0);
	w->far_ptr = btf__add_typedef(b, "far_ptr", p);
}

/* What an object that has a structure of that name gets of the world. */
static struct btf *
reduce_for(const struct world *w, const char *name, bool is_typedef)
{
	struct btf *object = btf__new_empty(), *out, *again;
	const void *raw;
	uint32_t size;

	if (is_typedef)
		(void)btf__add_typedef(object, name, 0);
	else
		(void)btf__add_struct(object, name, 0);
	out = corebtf_reduce(w->btf, object);
	ck_assert_ptr_nonnull(out);
	/* What libbpf gets to read must be whole. */
	raw = btf__raw_data(out, &size);
	again = btf__new(raw, size);
	ck_assert_ptr_nonnull(again);
	btf__free(out);
	btf__free(object);
	return again;
}

/* The type of member NAME of a structure, without modifiers. */
static const struct btf_type *
member(const struct btf *b, int id, const char *name)
{
	const struct btf_type *t = btf__type_by_id(b, (uint32_t)id);
	const struct btf_member *m = btf_members(t);
	uint32_t i;

	for (i = 0; i < btf_vlen(t); i++)
		if (strcmp(btf__name_by_offset(b, m[i].name_off), name) == 0)
			return btf__type_by_id(b, m[i].type);
	ck_abort_msg("no member %s", name);
	return NULL;
}

START_TEST (flavours) {
	static const struct {
		const char *name;
		size_t len;
	} table[] = { { "task_struct", 11 }, { "task_struct___old", 11 },
		{ "a___b", 1 }, { "a___b___c", 5 }, { "___a", 4 },
		{ "a___", 4 }, { "a____b", 6 }, { "a__b", 4 }, { "", 0 },
		{ "a", 1 }, { "_a___b", 2 } };
	size_t i;

	for (i = 0; i < nitems(table); i++)
		ck_assert_msg(
		    corebtf_essential_len(table[i].name) == table[i].len, "%s",
		    table[i].name);
}
END_TEST

START_TEST (names_are_found) {
	struct btf *b = btf__new_empty();
	struct names n;
	char *key;

	(void)btf__add_struct(b, "one", 0);
	(void)btf__add_struct(b, "two___x", 0);
	(void)btf__add_struct(b, "two", 0);
	(void)btf__add_ptr(b, 1);
	(void)btf__add_fwd(b, "forward", BTF_FWD_STRUCT);
	ck_assert_int_eq(names_collect(&n, b), 0);
	ck_assert_uint_eq(n.count, 2);
	ck_assert(names_have(&n, "one"));
	ck_assert(names_have(&n, "one___of_the_kernel"));
	ck_assert(names_have(&n, "two"));
	ck_assert(!names_have(&n, "tw"));
	ck_assert(!names_have(&n, "twoo"));
	ck_assert(!names_have(&n, "forward"));
	ck_assert(!names_have(&n, ""));
	names_free(&n);
	key = names_key(b);
	ck_assert_str_eq(key, "one\ntwo\n");
	free(key);
	btf__free(b);
}
END_TEST

START_TEST (values_are_whole_pointers_are_names) {
	const struct btf_type *t;
	struct btf *out;
	struct world w;
	int id;

	make_world(&w);
	out = reduce_for(&w, "outer___mine", false);
	id = btf__find_by_name_kind(out, "outer", BTF_KIND_STRUCT);
	ck_assert_int_gt(id, 0);
	t = btf__type_by_id(out, (uint32_t)id);
	ck_assert_uint_eq(t->size, 48);
	ck_assert_uint_eq(btf_vlen(t), 5);
	ck_assert_uint_eq(btf_members(t)[2].offset, 128);
	t = member(out, id, "in");
	ck_assert(btf_is_struct(t) && btf_vlen(t) == 1);
	t = btf__type_by_id(out, member(out, id, "p")->type);
	ck_assert(btf_is_fwd(t));
	ck_assert_str_eq(btf__name_by_offset(out, t->name_off), "far");
	t = btf__type_by_id(out, member(out, id, "cp")->type);
	ck_assert(btf_is_const(t));
	ck_assert(btf_is_fwd(btf__type_by_id(out, t->type)));
	/* what has no name cannot be declared forward */
	t = btf__type_by_id(out, member(out, id, "anon")->type);
	ck_assert(btf_is_struct(t) && btf_vlen(t) == 1);
	t = member(out, id, "array");
	ck_assert(btf_is_array(t) && btf_array(t)->nelems == 3);
	ck_assert(btf_is_int(btf__type_by_id(out, btf_array(t)->type)));
	/* others are not there: they would be found by their names */
	ck_assert_int_lt(
	    btf__find_by_name_kind(out, "unrelated", BTF_KIND_STRUCT), 0);
	ck_assert_int_lt(
	    btf__find_by_name_kind(out, "far", BTF_KIND_STRUCT), 0);
	btf__free(out);
	btf__free(w.btf);
}
END_TEST

START_TEST (typedef_is_followed_through_pointers) {
	const struct btf_type *t;
	struct btf *out;
	struct world w;
	int id;

	make_world(&w);
	out = reduce_for(&w, "far_ptr", true);
	id = btf__find_by_name_kind(out, "far_ptr", BTF_KIND_TYPEDEF);
	ck_assert_int_gt(id, 0);
	t = btf__type_by_id(out, btf__type_by_id(out, (uint32_t)id)->type);
	ck_assert(btf_is_ptr(t));
	t = btf__type_by_id(out, t->type);
	ck_assert(btf_is_struct(t) && btf_vlen(t) == 2);
	btf__free(out);
	btf__free(w.btf);
}
END_TEST

START_TEST (nothing_wanted_is_nothing) {
	struct btf *out;
	struct world w;

	make_world(&w);
	out = reduce_for(&w, "no_such_type", false);
	ck_assert_uint_eq(btf__type_cnt(out), 1);
	btf__free(out);
	btf__free(w.btf);
}
END_TEST

START_TEST (rubbish_is_asked_to_libbpf) {
	struct memfd_map map = { "no ELF at all", 13 };

	ck_assert(corebtf_is_needed(&map));
}
END_TEST

UNIT_MAIN("bpf_corebtf", flavours, names_are_found,
    values_are_whole_pointers_are_names, typedef_is_followed_through_pointers,
    nothing_wanted_is_nothing, rubbish_is_asked_to_libbpf)
