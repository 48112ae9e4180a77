/* SPDX-License-Identifier: ISC */
#include "verifyd/plan.h"

#include <string.h>

#include "common/strnum.h"
#include "verifyd/json.h"

void
plan_header(const struct object *o, const struct metadata *m,
    struct loadplan_builder *plan)
{
	struct loadplan_header *h = loadplan_builder_header(plan);

	/* All of these were checked against their sizes before. */
	str_copy_cut(h->object_name, sizeof(h->object_name), o->name);
	str_copy_cut(h->name, sizeof(h->name), m->name);
	str_copy_cut(
	    h->artifact_version, sizeof(h->artifact_version), m->version);
	str_copy_cut(h->replaces, sizeof(h->replaces),
	    m->replaces != NULL ? m->replaces : "");
	h->max_ttl_sec = m->max_ttl_sec;
	h->sequence = m->sequence;
	h->not_after_wall_ns = m->not_after_wall_ns;
	h->limits = m->limits;
}

static int
add_prog(const struct bpf_program *prog, struct loadplan_builder *plan,
    struct problems *problems)
{
	struct loadplan_prog record = { .autoload =
					    bpf_program__autoload(prog) };

	record.prog_type = (uint32_t)bpf_program__type(prog);
	if (str_copy(
		record.name, sizeof(record.name), bpf_program__name(prog)) < 0)
		problem_add(problems,
		    "program %.80s: name longer than %d characters",
		    bpf_program__name(prog), AEGIS_BPF_NAME_SIZE - 1);
	return loadplan_add_prog(plan, &record);
}

static int
add_map(const struct bpf_map *map, struct loadplan_builder *plan,
    struct problems *problems)
{
	struct loadplan_map record = { .type = bpf_map__type(map),
		.key_size = bpf_map__key_size(map),
		.value_size = bpf_map__value_size(map),
		.max_entries = bpf_map__max_entries(map) };
	const char *name = bpf_map__name(map);

	if (str_copy(record.name, sizeof(record.name), name) < 0)
		problem_add(problems,
		    "map %.80s: name longer than %d characters", name,
		    AEGIS_BPF_NAME_SIZE - 1);
	if (strcmp(name, "aegis_events") == 0) {
		record.flags |= LOADPLAN_MAP_EVENTS;
		if (bpf_map__type(map) != BPF_MAP_TYPE_RINGBUF)
			problem_add(
			    problems, "map aegis_events must be a ring buffer");
	}
	/* A map of that name that is something else is the author's own. */
	if (strcmp(name, "aegis_lost") == 0 &&
	    bpf_map__type(map) == BPF_MAP_TYPE_ARRAY &&
	    bpf_map__value_size(map) == sizeof(uint64_t))
		record.flags |= LOADPLAN_MAP_LOST;
	return loadplan_add_map(plan, &record);
}

static void
mark_carried(const struct object *o, struct json_object *list,
    struct loadplan_builder *plan, struct problems *problems)
{
	char quoted[PROBLEM_QUOTE_SIZE];
	struct json_object *item;
	int map;
	size_t i;

	for (i = 0; i < json_object_array_length(list); i++) {
		item = json_object_array_get_idx(list, i);
		map = json_object_is_type(item, json_type_string)
		    ? object_find_map(o, json_object_get_string(item))
		    : -ENOENT;
		if (map < 0)
			problem_add(problems,
			    "carry_maps: the program has no map %s",
			    problem_quote(item, quoted));
		else
			loadplan_builder_map(plan, (uint32_t)map)->flags |=
			    LOADPLAN_MAP_CARRY;
	}
}

int
plan_contents(const struct object *o, const struct metadata *m,
    struct loadplan_builder *plan, struct problems *problems)
{
	unsigned int i;
	int r = 0;

	for (i = 0; r == 0 && i < o->prog_count; i++)
		r = add_prog(o->progs[i], plan, problems);
	for (i = 0; r == 0 && i < o->map_count; i++)
		r = add_map(o->maps[i], plan, problems);
	if (r == 0 && m->carry_maps != NULL)
		mark_carried(o, m->carry_maps, plan, problems);
	return r;
}
