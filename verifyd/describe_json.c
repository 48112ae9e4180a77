/* SPDX-License-Identifier: ISC */
#include "verifyd/describe_json.h"

#include <string.h>

#include "common/attach.h"
#include "common/strnum.h"
#include "verifyd/btf_type.h"

#define TYPE_DEPTH 8

static void
add(struct json_object *o, const char *key, struct json_object *value)
{
	if (value != NULL && json_object_object_add(o, key, value) < 0)
		(void)json_object_put(value);
}

static void
add_string(struct json_object *o, const char *key, const char *value)
{
	if (value != NULL)
		add(o, key, json_object_new_string(value));
}

static void
add_number(struct json_object *o, const char *key, uint64_t value)
{
	add(o, key, json_object_new_uint64(value));
}

static void
append(struct json_object *list, struct json_object *item)
{
	if (item != NULL && json_object_array_add(list, item) < 0)
		(void)json_object_put(item);
}

/* ---- types ---- */

static const char *
keyword(const struct btf_type *t)
{
	if (btf_is_struct(t))
		return "struct ";
	if (btf_is_union(t))
		return "union ";
	if (btf_is_any_enum(t))
		return "enum ";
	if (btf_is_fwd(t))
		return BTF_INFO_KFLAG(t->info) ? "union " : "struct ";
	return "";
}

static void
type_text(const struct btf *btf, uint32_t id, unsigned int depth, char *out,
    size_t size)
{
	const struct btf_type *t = btf__type_by_id(btf, id);
	const char *name;
	char inner[256];

	if (id == 0) {
		str_copy_cut(out, size, "void");
		return;
	}
	if (t == NULL || depth == 0) {
		str_copy_cut(out, size, "?");
		return;
	}
	if (btf_is_mod(t)) {
		type_text(btf, t->type, depth - 1, out, size);
	} else if (btf_is_ptr(t)) {
		type_text(btf, t->type, depth - 1, inner, sizeof(inner));
		(void)snprintf(out, size, "%s *", inner);
	} else if (btf_is_array(t)) {
		type_text(
		    btf, btf_array(t)->type, depth - 1, inner, sizeof(inner));
		(void)snprintf(
		    out, size, "%s[%u]", inner, btf_array(t)->nelems);
	} else if (btf_is_func_proto(t)) {
		str_copy_cut(out, size, "function");
	} else {
		name = btf_type_name(btf, t);
		(void)snprintf(out, size, "%s%s", keyword(t),
		    *name != '\0' ? name : "{...}");
	}
}

void
describe_type(const struct btf *btf, uint32_t id, char *out, size_t size)
{
	str_copy_cut(out, size, "?");
	if (btf != NULL)
		type_text(btf, id, TYPE_DEPTH, out, size);
	str_scrub(out, size);
}

static void
add_type(
    struct json_object *o, const char *key, const struct btf *btf, uint32_t id)
{
	char text[256];

	if (btf == NULL || id == 0)
		return;
	describe_type(btf, id, text, sizeof(text));
	add_string(o, key, text);
}

/* ---- programs ---- */

/* The entries of "attach" about a program, placeholders as they stand. */
static struct json_object *
entries_of(const struct metadata *m, const char *prog, bool *load_only)
{
	struct json_object *list = json_object_new_array(), *entry;
	unsigned int i, k;

	for (i = 0; i < m->attach_count; i++) {
		if (strcmp(m->attaches[i].program, prog) != 0)
			continue;
		*load_only = *load_only || m->attaches[i].load_only;
		entry = json_object_new_object();
		for (k = 0; k < WHERE_MAX; k++)
			add(entry, metadata_where_name((enum attach_where)k),
			    json_object_get(m->attaches[i].where[k]));
		append(list, entry);
	}
	return list;
}

static struct json_object *
program_json(const struct metadata *m, const struct bpf_program *prog)
{
	const char *section = bpf_program__section_name(prog), *target = NULL;
	const char *type = libbpf_bpf_prog_type_str(bpf_program__type(prog));
	struct json_object *o = json_object_new_object();
	enum attach_kind kind;
	bool load_only = false;

	add_string(o, "name", bpf_program__name(prog));
	add_string(o, "section", section);
	add_string(o, "type", type != NULL ? type : "unknown");
	add_number(o, "instructions", bpf_program__insn_cnt(prog));
	if (attach_from_section(section, &kind, &target) == 0) {
		add_string(o, "attach_kind", attach_row(kind)->name);
		add_string(o, "target", target);
	}
	add(o, "attach", entries_of(m, bpf_program__name(prog), &load_only));
	add(o, "optional",
	    json_object_new_boolean(!bpf_program__autoload(prog)));
	add(o, "load_only", json_object_new_boolean(load_only));
	return o;
}

/* ---- maps and globals ---- */

static struct json_object *
map_json(const struct object *obj, const struct bpf_map *map)
{
	const char *type = libbpf_bpf_map_type_str(bpf_map__type(map));
	struct json_object *o = json_object_new_object();

	add_string(o, "name", bpf_map__name(map));
	add_string(o, "type", type != NULL ? type : "unknown");
	add_number(o, "key_size", bpf_map__key_size(map));
	add_number(o, "value_size", bpf_map__value_size(map));
	add_number(o, "max_entries", bpf_map__max_entries(map));
	add_type(o, "key", obj->btf, bpf_map__btf_key_type_id(map));
	add_type(o, "value", obj->btf, bpf_map__btf_value_type_id(map));
	return o;
}

struct global_list {
	const struct object *o;
	struct json_object *list;
};

static bool
add_global(const char *name, const struct object_global *g, void *ctx)
{
	struct json_object *o = json_object_new_object();
	struct global_list *globals = ctx;

	add_string(o, "name", name);
	add_type(o, "type", globals->o->btf, g->type_id);
	add_number(o, "size", g->size);
	add_string(o, "map", bpf_map__name(globals->o->maps[g->map]));
	append(globals->list, o);
	return true;
}

/* ---- parameters ---- */

static void
add_parameter(struct json_object *list, const struct metadata *m,
    const char *name, const char *sets, const char *of)
{
	struct json_object *o, *value = NULL, *rule = NULL;
	bool admitted;
	size_t i;

	for (i = 0; i < json_object_array_length(list); i++)
		if (strcmp(json_object_get_string(json_object_object_get(
			       json_object_array_get_idx(list, i), "name")),
			name) == 0)
			return;
	admitted = m->schema == NULL ||
	    json_object_object_get_ex(m->schema, name, &rule);
	o = json_object_new_object();
	add_string(o, "name", name);
	add_string(o, "sets", sets);
	add_string(o, "of", of);
	if (m->parameters != NULL &&
	    json_object_object_get_ex(m->parameters, name, &value))
		add(o, "signed", json_object_get(value));
	add(o, "required",
	    json_object_new_boolean(value == NULL &&
		strcmp(sets, "global") != 0 && strcmp(sets, "map") != 0));
	add(o, "registry_may_set", json_object_new_boolean(admitted));
	add(o, "schema", json_object_get(rule));
	append(list, o);
}

struct parameter_list {
	const struct metadata *m;
	const struct object *o;
	struct json_object *list;
};

static bool
add_global_parameter(const char *name, const struct object_global *g, void *ctx)
{
	struct parameter_list *p = ctx;
	char type[256];

	describe_type(p->o->btf, g->type_id, type, sizeof(type));
	add_parameter(p->list, p->m, name, "global", type);
	return true;
}

static struct json_object *
parameters_json(const struct metadata *m, const struct object *o)
{
	struct parameter_list p = { m, o, json_object_new_array() };
	struct json_object *where;
	const char *text;
	unsigned int i, k;

	for (i = 0; i < m->attach_count; i++)
		for (k = 0; k < WHERE_MAX; k++) {
			where = m->attaches[i].where[k];
			if (!json_object_is_type(where, json_type_string))
				continue;
			text = json_object_get_string(where);
			if (text[0] == '$')
				add_parameter(p.list, m, text + 1,
				    metadata_where_name((enum attach_where)k),
				    m->attaches[i].program);
		}
	(void)object_each_global(o, add_global_parameter, &p);
	for (i = 0; i < o->map_count; i++)
		if (!bpf_map__is_internal(o->maps[i]))
			add_parameter(p.list, m, bpf_map__name(o->maps[i]),
			    "map", bpf_map__name(o->maps[i]));
	return p.list;
}

struct json_object *
describe_json(const struct metadata *m, const struct object *o)
{
	struct global_list globals = { o, json_object_new_array() };
	struct json_object *doc = json_object_new_object();
	struct json_object *programs = json_object_new_array();
	struct json_object *maps = json_object_new_array();
	unsigned int i;

	if (doc == NULL)
		return NULL;
	add_string(doc, "name", m->name);
	add_string(doc, "version", m->version);
	add_string(doc, "architecture", m->architecture);
	add_string(doc, "kernel_version", m->kernel_version);
	for (i = 0; i < o->prog_count; i++)
		append(programs, program_json(m, o->progs[i]));
	for (i = 0; i < o->map_count; i++)
		append(maps, map_json(o, o->maps[i]));
	(void)object_each_global(o, add_global, &globals);
	add(doc, "programs", programs);
	add(doc, "maps", maps);
	add(doc, "globals", globals.list);
	add(doc, "parameters", parameters_json(m, o));
	return doc;
}
