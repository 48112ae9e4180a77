/* SPDX-License-Identifier: ISC */
#include "verifyd/params.h"

#include <string.h>

#include "verifyd/btf_encode.h"
#include "verifyd/mapdata.h"
#include "verifyd/schema.h"

/* The largest global that a parameter may set. */
#define GLOBAL_MAX (1u << 20)

/* May the registry set KEY at all? */
static bool
is_admitted(const struct metadata *m, const char *key,
    struct json_object *value, enum parameters_policy policy,
    struct problems *problems)
{
	char quoted[PROBLEM_QUOTE_SIZE];

	if (policy == PARAMETERS_SIGNED) {
		problem_add(problems,
		    "parameter %s: %s: comes from the registry, and "
		    "AGENT_PARAMETERS=signed refuses that",
		    key, problem_quote(value, quoted));
		return false;
	}
	if (policy == PARAMETERS_SCHEMA && m->schema != NULL &&
	    !json_object_object_get_ex(m->schema, key, NULL)) {
		problem_add(problems,
		    "parameter %s: %s: parameters_schema does not admit it",
		    key, problem_quote(value, quoted));
		return false;
	}
	return true;
}

static int
copy_members(struct json_object *to, struct json_object *from)
{
	if (from == NULL)
		return 0;
	json_object_object_foreach(from, key, value)
	{
		if (json_object_object_add(to, key, json_object_get(value)) <
		    0) {
			(void)json_object_put(value);
			return -ENOMEM;
		}
	}
	return 0;
}

struct json_object *
params_merge(const struct metadata *m, struct json_object *from_registry,
    enum parameters_policy policy, struct problems *problems)
{
	struct json_object *all = json_object_new_object(), *signed_value;

	if (all == NULL || copy_members(all, m->parameters) < 0 ||
	    copy_members(all, from_registry) < 0) {
		(void)json_object_put(all);
		return NULL;
	}
	if (from_registry != NULL) {
		json_object_object_foreach(from_registry, key, value)
		{
			(void)is_admitted(m, key, value, policy, problems);
		}
	}
	if (m->schema == NULL || policy == PARAMETERS_ANY)
		return all;
	json_object_object_foreach(all, name, v)
	{
		signed_value = NULL;
		if (m->parameters != NULL)
			(void)json_object_object_get_ex(
			    m->parameters, name, &signed_value);
		schema_check(m->schema, name, v, signed_value, problems);
	}
	return all;
}

static bool
is_placeholder(const struct metadata *m, const char *key)
{
	const char *text;
	unsigned int i, k;

	for (i = 0; i < m->attach_count; i++) {
		for (k = 0; k < WHERE_MAX; k++) {
			if (!json_object_is_type(
				m->attaches[i].where[k], json_type_string))
				continue;
			text = json_object_get_string(m->attaches[i].where[k]);
			if (text[0] == '$' && strcmp(text + 1, key) == 0)
				return true;
		}
	}
	return false;
}

static int
apply_global(const struct object *o, const struct object_global *g,
    const char *key, struct json_object *value, struct loadplan_builder *plan,
    struct problems *problems)
{
	struct loadplan_write w = { .kind = WRITE_INITIAL,
		.map = g->map,
		.offset = g->offset,
		.value_len = g->size };
	_cleanup_free_ uint8_t *bytes = NULL;
	int r;

	if (g->size == 0 || g->size > GLOBAL_MAX) {
		problem_add(problems,
		    "parameter %s: a variable of %u bytes cannot be set", key,
		    g->size);
		return 0;
	}
	bytes = malloc(g->size);
	if (bytes == NULL)
		return -ENOMEM;
	if (btf_encode(
		o->btf, g->type_id, value, bytes, g->size, key, problems) < 0)
		return 0;
	r = loadplan_add_data(plan, bytes, g->size, &w.value_off);
	return r == 0 ? loadplan_add_write(plan, &w) : r;
}

/* What there is, for a parameter that is not. */
struct name_list {
	char text[400];
	size_t len;
};

static void
list_name(struct name_list *list, const char *name)
{
	if (list->len + strlen(name) + 2 < sizeof(list->text))
		list->len += (size_t)snprintf(list->text + list->len,
		    sizeof(list->text) - list->len, " %s", name);
}

static bool
list_global(const char *name, const struct object_global *g, void *ctx)
{
	(void)g;
	list_name(ctx, name);
	return true;
}

static void
refuse_unknown(const struct object *o, const struct metadata *m,
    const char *key, struct json_object *value, struct problems *problems)
{
	struct name_list list = { "", 0 };
	char quoted[PROBLEM_QUOTE_SIZE];
	struct json_object *where;
	unsigned int i, k;

	for (i = 0; i < m->attach_count; i++)
		for (k = 0; k < WHERE_MAX; k++) {
			where = m->attaches[i].where[k];
			if (json_object_is_type(where, json_type_string) &&
			    *json_object_get_string(where) == '$')
				list_name(
				    &list, json_object_get_string(where) + 1);
		}
	(void)object_each_global(o, list_global, &list);
	for (i = 0; i < o->map_count; i++)
		if (!bpf_map__is_internal(o->maps[i]))
			list_name(&list, bpf_map__name(o->maps[i]));
	problem_add(problems,
	    "parameter %s: %s: the program has no placeholder, global variable "
	    "or map of this name; there are:%s",
	    key, problem_quote(value, quoted),
	    list.len > 0 ? list.text : " none");
}

static int
apply_one(const struct object *o, const struct metadata *m, const char *key,
    struct json_object *value, struct loadplan_builder *plan,
    struct problems *problems)
{
	struct object_global g;
	int map;

	if (is_placeholder(m, key))
		return 0;
	if (object_find_global(o, key, &g) == 0)
		return apply_global(o, &g, key, value, plan, problems);
	map = object_find_map(o, key);
	if (map >= 0)
		return mapdata_encode(
		    o, (unsigned int)map, value, plan, problems);
	refuse_unknown(o, m, key, value, problems);
	return 0;
}

int
params_apply(struct json_object *effective, const struct metadata *m,
    const struct object *o, struct loadplan_builder *plan,
    struct problems *problems)
{
	int r;

	json_object_object_foreach(effective, key, value)
	{
		r = apply_one(o, m, key, value, plan, problems);
		if (r == -E2BIG) {
			problem_add(problems,
			    "parameter %s: more data than a load plan holds",
			    key);
			return 0;
		}
		if (r < 0)
			return r;
	}
	return 0;
}
