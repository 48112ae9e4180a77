/* SPDX-License-Identifier: ISC */
#include "verifyd/counters.h"

#include <string.h>

#include "verifyd/btf_type.h"
#include "verifyd/json.h"

static const char *const kind_names[COUNTER_KIND_MAX] = {
	[COUNTER_PACKETS] = "packets_processed",
	[COUNTER_VIOLATIONS] = "violations",
	[COUNTER_ERRORS] = "errors",
};

struct planner {
	const struct object *o;
	struct loadplan_builder *plan;
	struct problems *problems;
	int map;                       /* index of the map at hand */
	bool mapped[COUNTER_KIND_MAX]; /* "telemetry" says which */
	bool has_violations;           /* a member of just that name */
	int result;
};

static bool
is_array_map(const struct bpf_map *map)
{
	enum bpf_map_type type = bpf_map__type(map);

	return type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

/* Can bpfd read a number there?  Whole bytes of an integer, in the value. */
static bool
is_readable(const struct planner *p, const struct btf_member_place *place,
    uint32_t *offset, uint32_t *size)
{
	struct btf_resolved field = btf_type_resolve(p->o->btf, place->type_id);
	uint32_t end;

	if (field.t == NULL || !btf_is_int(field.t) || place->bits != 0 ||
	    place->bit_offset % 8 != 0)
		return false;
	*offset = place->bit_offset / 8;
	*size = field.t->size;
	return (*size == 1 || *size == 2 || *size == 4 || *size == 8) &&
	    !__builtin_add_overflow(*offset, *size, &end) &&
	    end <= bpf_map__value_size(p->o->maps[p->map]);
}

static void
add_counter(struct planner *p, enum loadplan_counter_kind kind, uint32_t offset,
    uint32_t size)
{
	struct loadplan_counter c = { kind, (uint32_t)p->map, offset, size };

	if (p->result == 0)
		p->result = loadplan_add_counter(p->plan, &c);
	if (p->result == 0)
		loadplan_builder_map(p->plan, (uint32_t)p->map)->flags |=
		    LOADPLAN_MAP_STATS;
}

static bool
ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), e = strlen(end);

	return n >= e && strcmp(name + n - e, end) == 0;
}

/* What a member of that name counts; COUNTER_KIND_MAX: nothing known. */
static enum loadplan_counter_kind
kind_of_member(const char *name, bool has_violations)
{
	if (strcmp(name, "packets_processed") == 0)
		return COUNTER_PACKETS;
	if (strcmp(name, "errors") == 0)
		return COUNTER_ERRORS;
	if (strcmp(name, "violations") == 0)
		return COUNTER_VIOLATIONS;
	/* A total of its own stands instead of the parts. */
	if (!has_violations &&
	    (ends_with(name, "_dropped") || ends_with(name, "_blocked") ||
		ends_with(name, "_denied")))
		return COUNTER_VIOLATIONS;
	return COUNTER_KIND_MAX;
}

static void
add_by_name(const char *name, const struct btf_member_place *place, void *ctx)
{
	struct planner *p = ctx;
	enum loadplan_counter_kind kind;
	uint32_t offset, size;

	kind = kind_of_member(name, p->has_violations);
	if (kind != COUNTER_KIND_MAX && !p->mapped[kind] &&
	    is_readable(p, place, &offset, &size))
		add_counter(p, kind, offset, size);
}

/* The struct that is the value of the map at hand, NULL if it is none. */
static const struct btf_type *
value_struct(const struct planner *p)
{
	uint32_t id = bpf_map__btf_value_type_id(p->o->maps[p->map]);
	const struct btf_type *t;

	if (id == 0 || p->o->btf == NULL)
		return NULL;
	t = btf_type_resolve(p->o->btf, id).t;
	return t != NULL && btf_is_composite(t) ? t : NULL;
}

static int
find_stats_map(const struct object *o)
{
	int map = object_find_map(o, "aegis_stats");

	return map >= 0 ? map : object_find_map(o, "stats");
}

static void
plan_by_names(struct planner *p)
{
	struct btf_member_place place;
	const struct btf_type *t;

	p->map = find_stats_map(p->o);
	if (p->map < 0 || !is_array_map(p->o->maps[p->map]))
		return;
	t = value_struct(p);
	if (t == NULL)
		return;
	p->has_violations =
	    btf_type_find_member(p->o->btf, t, "violations", &place) == 0;
	btf_type_each_member(p->o->btf, t, add_by_name, p);
}

/* "a.b": a member of a member.  T is where to start. */
static int
find_path(const struct btf *btf, const struct btf_type *t, const char *path,
    struct btf_member_place *place)
{
	struct btf_member_place step;
	uint32_t base = 0;
	char name[128];
	size_t len;

	for (;;) {
		len = strcspn(path, ".");
		if (len == 0 || len >= sizeof(name))
			return -ENOENT;
		memcpy(name, path, len);
		name[len] = '\0';
		if (t == NULL || !btf_is_composite(t) ||
		    btf_type_find_member(btf, t, name, &step) < 0 ||
		    __builtin_add_overflow(base, step.bit_offset, &base))
			return -ENOENT;
		if (path[len] == '\0') {
			*place = step;
			place->bit_offset = base;
			return 0;
		}
		t = btf_type_resolve(btf, step.type_id).t;
		path += len + 1;
	}
}

/* Member PATH of the map at hand, or its value when PATH is NULL. */
static void
plan_field(struct planner *p, enum loadplan_counter_kind kind, const char *path)
{
	const char *map_name = bpf_map__name(p->o->maps[p->map]);
	const struct btf_type *t = value_struct(p);
	struct btf_member_place place = { 0 };
	uint32_t offset, size;
	char known[240] = "";
	int r = 0;

	if (path == NULL)
		place.type_id = bpf_map__btf_value_type_id(p->o->maps[p->map]);
	else
		r = find_path(p->o->btf, t, path, &place);
	if (r < 0) {
		if (t != NULL)
			btf_type_member_names(
			    p->o->btf, t, known, sizeof(known));
		problem_add(p->problems,
		    "telemetry.%s: map %s has no member \"%.80s\"; there are: "
		    "%s",
		    kind_names[kind], map_name, path,
		    t != NULL ? known : "none, its value is no struct");
		return;
	}
	if (p->o->btf == NULL || !is_readable(p, &place, &offset, &size)) {
		problem_add(p->problems,
		    "telemetry.%s: %.80s of map %s must be an integer of 1, "
		    "2, 4 or 8 bytes",
		    kind_names[kind], path != NULL ? path : "the value",
		    map_name);
		return;
	}
	add_counter(p, kind, offset, size);
}

static void
plan_mapping(struct planner *p, enum loadplan_counter_kind kind,
    struct json_object *entry)
{
	char where[48], quoted[PROBLEM_QUOTE_SIZE];
	const char *map_name, *field;

	(void)snprintf(where, sizeof(where), "telemetry.%s", kind_names[kind]);
	if (!json_object_is_type(entry, json_type_object)) {
		problem_add(p->problems,
		    "%s: %s: wanted {\"map\": \"stats\", \"field\": "
		    "\"<member>\"}",
		    where, problem_quote(entry, quoted));
		return;
	}
	map_name = json_member_string(entry, "map", where, p->problems);
	field = json_member_string(entry, "field", where, p->problems);
	p->map = map_name != NULL ? object_find_map(p->o, map_name)
				  : find_stats_map(p->o);
	if (p->map < 0)
		problem_add(p->problems, "%s: the program has no map \"%.60s\"",
		    where, map_name != NULL ? map_name : "stats");
	else if (!is_array_map(p->o->maps[p->map]))
		problem_add(p->problems,
		    "%s: map %.60s must be an array or a per-CPU array", where,
		    bpf_map__name(p->o->maps[p->map]));
	else
		plan_field(p, kind, field);
}

static void
plan_by_telemetry(struct planner *p, struct json_object *telemetry)
{
	unsigned int kind;
	size_t i;

	json_object_object_foreach(telemetry, key, value)
	{
		for (kind = 0; kind < COUNTER_KIND_MAX; kind++)
			if (strcmp(key, kind_names[kind]) == 0)
				break;
		if (kind == COUNTER_KIND_MAX) {
			problem_add(p->problems,
			    "telemetry: no counter is called \"%.60s\" "
			    "(packets_processed violations errors)",
			    key);
			continue;
		}
		p->mapped[kind] = true;
		/* A list is added up. */
		if (!json_object_is_type(value, json_type_array)) {
			plan_mapping(p, kind, value);
			continue;
		}
		for (i = 0; i < json_object_array_length(value); i++)
			plan_mapping(
			    p, kind, json_object_array_get_idx(value, i));
	}
}

int
counters_plan(const struct object *o, struct json_object *telemetry,
    struct loadplan_builder *plan, struct problems *problems)
{
	struct planner p = { .o = o, .plan = plan, .problems = problems };

	if (telemetry != NULL)
		plan_by_telemetry(&p, telemetry);
	plan_by_names(&p);
	if (p.result == -E2BIG) {
		problem_add(
		    problems, "more than %d counters", LOADPLAN_MAX_COUNTERS);
		return 0;
	}
	return p.result;
}
