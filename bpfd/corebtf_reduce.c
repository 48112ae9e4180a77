/* SPDX-License-Identifier: ISC */
/*
 * Which types of the kernel's BTF an object can ask about, and a BTF of
 * those alone.
 */
#include <bpf/btf.h>
#include <errno.h>
#include <stdlib.h>

#include "bpfd/corebtf.h"
#include "bpfd/corebtf_names.h"

/* How much of a type is wanted; more includes less. */
enum want {
	WANT_NOT = 0,
	WANT_NAME,  /* behind a pointer in a structure: name and kind */
	WANT_VALUE, /* with all that it contains by value */
	WANT_ALL,   /* a type that is named: through its own pointers, too */
};

struct reducer {
	const struct btf *kernel;
	uint8_t *want;   /* by id, enum want */
	uint32_t *queue; /* ids whose want grew */
	uint32_t queued;
	uint32_t room;
	uint32_t *new_id; /* by id */
};

static bool
is_composite(const struct btf_type *t)
{
	return btf_is_struct(t) || btf_is_union(t);
}

/* -ENOMEM, or 0. */
static int
raise(struct reducer *r, uint32_t id, enum want want)
{
	uint32_t *more;

	/* What has no name cannot be declared forward. */
	if (id != 0 && want == WANT_NAME &&
	    btf__type_by_id(r->kernel, id)->name_off == 0 &&
	    is_composite(btf__type_by_id(r->kernel, id)))
		want = WANT_VALUE;
	if (id == 0 || r->want[id] >= want)
		return 0;
	r->want[id] = (uint8_t)want;
	if (r->queued == r->room) {
		more = reallocarray(
		    r->queue, (size_t)r->room * 2 + 64, sizeof(*more));
		if (more == NULL)
			return -ENOMEM;
		r->queue = more;
		r->room = r->room * 2 + 64;
	}
	r->queue[r->queued++] = id;
	return 0;
}

static int
raise_members(struct reducer *r, const struct btf_type *t)
{
	const struct btf_member *m = btf_members(t);
	uint32_t i;
	int e = 0;

	for (i = 0; e == 0 && i < btf_vlen(t); i++)
		e = raise(r, m[i].type, WANT_VALUE);
	return e;
}

static int
raise_params(struct reducer *r, const struct btf_type *t, enum want want)
{
	const struct btf_param *p = btf_params(t);
	uint32_t i;
	int e = raise(r, t->type, want);

	for (i = 0; e == 0 && i < btf_vlen(t); i++)
		e = raise(r, p[i].type, want);
	return e;
}

/* What a wanted type drags along. */
static int
follow(struct reducer *r, uint32_t id)
{
	const struct btf_type *t = btf__type_by_id(r->kernel, id);
	enum want want = r->want[id];
	int e;

	switch (btf_kind(t)) {
	case BTF_KIND_PTR:
		return raise(
		    r, t->type, want == WANT_ALL ? WANT_ALL : WANT_NAME);
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_CONST:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_TYPE_TAG:
		return raise(r, t->type, want);
	case BTF_KIND_ARRAY:
		e = raise(r, btf_array(t)->index_type, WANT_VALUE);
		return e < 0 ? e : raise(r, btf_array(t)->type, want);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return want == WANT_NAME ? 0 : raise_members(r, t);
	case BTF_KIND_FUNC_PROTO:
		/* a structure by value in there stays one */
		return raise_params(
		    r, t, want == WANT_NAME ? WANT_VALUE : want);
	default:
		return 0;
	}
}

static int
select_types(struct reducer *r, const struct btf *object)
{
	uint32_t id, types = btf__type_cnt(r->kernel);
	const struct btf_type *t;
	struct names names;
	int e;

	e = names_collect(&names, object);
	for (id = 1; e == 0 && id < types; id++) {
		t = btf__type_by_id(r->kernel, id);
		if (names_is_root(t) &&
		    names_have(
			&names, btf__name_by_offset(r->kernel, t->name_off)))
			e = raise(r, id, WANT_ALL);
	}
	names_free(&names);
	while (e == 0 && r->queued > 0)
		e = follow(r, r->queue[--r->queued]);
	return e;
}

/* In the kernel's order: libbpf takes candidates in order. */
static int
copy_types(struct reducer *r, struct btf *out)
{
	uint32_t id, types = btf__type_cnt(r->kernel);
	const struct btf_type *t;
	int new_id;

	for (id = 1; id < types; id++) {
		if (r->want[id] == WANT_NOT)
			continue;
		t = btf__type_by_id(r->kernel, id);
		if (is_composite(t) && r->want[id] == WANT_NAME)
			new_id = btf__add_fwd(out,
			    btf__name_by_offset(r->kernel, t->name_off),
			    btf_is_union(t) ? BTF_FWD_UNION : BTF_FWD_STRUCT);
		else
			new_id = btf__add_type(out, r->kernel, t);
		if (new_id < 0)
			return new_id;
		r->new_id[id] = (uint32_t)new_id;
	}
	return 0;
}

/* The copies still name types by the kernel's numbers. */
static void
renumber(const struct reducer *r, struct btf *out)
{
	uint32_t id, i, types = btf__type_cnt(out);
	struct btf_type *t;

	for (id = 1; id < types; id++) {
		t = (struct btf_type *)(uintptr_t)btf__type_by_id(out, id);
		switch (btf_kind(t)) {
		case BTF_KIND_FUNC_PROTO:
			for (i = 0; i < btf_vlen(t); i++)
				btf_params(t)[i].type =
				    r->new_id[btf_params(t)[i].type];
			t->type = r->new_id[t->type];
			break;
		case BTF_KIND_PTR:
		case BTF_KIND_TYPEDEF:
		case BTF_KIND_CONST:
		case BTF_KIND_VOLATILE:
		case BTF_KIND_RESTRICT:
		case BTF_KIND_TYPE_TAG:
			t->type = r->new_id[t->type];
			break;
		case BTF_KIND_ARRAY:
			btf_array(t)->type = r->new_id[btf_array(t)->type];
			btf_array(t)->index_type =
			    r->new_id[btf_array(t)->index_type];
			break;
		case BTF_KIND_STRUCT:
		case BTF_KIND_UNION:
			for (i = 0; i < btf_vlen(t); i++)
				btf_members(t)[i].type =
				    r->new_id[btf_members(t)[i].type];
			break;
		default:
			break;
		}
	}
}

struct btf *
corebtf_reduce(const struct btf *kernel, const struct btf *object)
{
	struct reducer r = { .kernel = kernel };
	uint32_t types = btf__type_cnt(kernel);
	struct btf *out = btf__new_empty();
	int e = -ENOMEM;

	r.want = calloc(types, sizeof(*r.want));
	r.new_id = calloc(types, sizeof(*r.new_id));
	if (out != NULL && r.want != NULL && r.new_id != NULL)
		e = select_types(&r, object);
	if (e == 0)
		e = copy_types(&r, out);
	if (e == 0)
		renumber(&r, out);
	free(r.want);
	free(r.queue);
	free(r.new_id);
	if (e < 0) {
		btf__free(out);
		return NULL;
	}
	return out;
}
