/* SPDX-License-Identifier: ISC */
#include "verifyd/btf_type.h"

#include <errno.h>
#include <string.h>

#define RESOLVE_DEPTH   32
#define ANONYMOUS_DEPTH 16

/* Members of one type, in all: anonymous ones in anonymous ones multiply. */
#define MEMBERS_MAX 65536

static enum byte_order
order_of_typedef(const char *name)
{
	static const struct {
		const char *name;
		enum byte_order order;
	} rows[] = {
		{ "__be16", ORDER_BIG },
		{ "__be32", ORDER_BIG },
		{ "__be64", ORDER_BIG },
		{ "__le16", ORDER_LITTLE },
		{ "__le32", ORDER_LITTLE },
		{ "__le64", ORDER_LITTLE },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(name, rows[i].name) == 0)
			return rows[i].order;
	return ORDER_HOST;
}

const char *
btf_type_name(const struct btf *btf, const struct btf_type *t)
{
	const char *name = btf__name_by_offset(btf, t->name_off);

	return name != NULL ? name : "";
}

struct btf_resolved
btf_type_resolve(const struct btf *btf, uint32_t id)
{
	struct btf_resolved r = { btf__type_by_id(btf, id), ORDER_HOST };
	unsigned int depth;

	for (depth = 0; r.t != NULL && depth < RESOLVE_DEPTH; depth++) {
		if (!btf_is_mod(r.t) && !btf_is_typedef(r.t))
			return r;
		if (r.order == ORDER_HOST && btf_is_typedef(r.t))
			r.order = order_of_typedef(btf_type_name(btf, r.t));
		r.t = btf__type_by_id(btf, r.t->type);
	}
	r.t = NULL;
	return r;
}

bool
btf_type_is_char(const struct btf *btf, const struct btf_type *t)
{
	return t != NULL && btf_is_int(t) && t->size == 1 &&
	    strcmp(btf_type_name(btf, t), "char") == 0;
}

struct member_walk {
	const struct btf *btf;
	void (*fn)(
	    const char *name, const struct btf_member_place *place, void *ctx);
	void *ctx;
	uint32_t left; /* members yet to be looked at */
};

static void
walk_members(struct member_walk *walk, const struct btf_type *t,
    uint32_t base_bits, unsigned int depth)
{
	const struct btf_member *m = btf_members(t);
	struct btf_member_place place;
	struct btf_resolved inner;
	const char *name;
	uint32_t i;

	for (i = 0; i < btf_vlen(t) && walk->left > 0; i++) {
		walk->left--;
		if (__builtin_add_overflow(base_bits,
			btf_member_bit_offset(t, i), &place.bit_offset))
			continue;
		place.type_id = m[i].type;
		place.bits = btf_member_bitfield_size(t, i);
		name = btf__name_by_offset(walk->btf, m[i].name_off);
		if (name != NULL && *name != '\0') {
			walk->fn(name, &place, walk->ctx);
			continue;
		}
		inner = btf_type_resolve(walk->btf, m[i].type);
		if (inner.t != NULL && btf_is_composite(inner.t) &&
		    depth < ANONYMOUS_DEPTH)
			walk_members(
			    walk, inner.t, place.bit_offset, depth + 1);
	}
}

void
btf_type_each_member(const struct btf *btf, const struct btf_type *t,
    void (*fn)(
	const char *name, const struct btf_member_place *place, void *ctx),
    void *ctx)
{
	struct member_walk walk = { btf, fn, ctx, MEMBERS_MAX };

	if (btf_is_composite(t))
		walk_members(&walk, t, 0, 0);
}

struct member_search {
	const char *name;
	struct btf_member_place *place;
	bool found;
};

static void
compare_member(
    const char *name, const struct btf_member_place *place, void *ctx)
{
	struct member_search *search = ctx;

	if (!search->found && strcmp(name, search->name) == 0) {
		*search->place = *place;
		search->found = true;
	}
}

int
btf_type_find_member(const struct btf *btf, const struct btf_type *t,
    const char *name, struct btf_member_place *place)
{
	struct member_search search = { name, place, false };

	btf_type_each_member(btf, t, compare_member, &search);
	return search.found ? 0 : -ENOENT;
}

struct name_list {
	char *out;
	size_t size;
	size_t len;
};

static void
append_name(const char *name, const struct btf_member_place *place, void *ctx)
{
	struct name_list *list = ctx;
	size_t n = strlen(name), sep = list->len > 0;

	(void)place;
	if (list->len + sep + n + 1 > list->size)
		return;
	if (sep)
		list->out[list->len++] = ' ';
	memcpy(list->out + list->len, name, n + 1);
	list->len += n;
}

void
btf_type_member_names(
    const struct btf *btf, const struct btf_type *t, char *out, size_t size)
{
	struct name_list list = { out, size, 0 };

	out[0] = '\0';
	btf_type_each_member(btf, t, append_name, &list);
}
