/* SPDX-License-Identifier: ISC */
/*
 * Attachments: see plan_attaches() in plan.h.
 */
#include <string.h>

#include "common/attach.h"
#include "common/strnum.h"
#include "verifyd/json.h"
#include "verifyd/plan_attach.h"

#define IFNAME_LEN 15

const char *
attacher_text(const struct attacher *a, enum attach_where where)
{
	struct json_object *value;
	const char *text;
	char quoted[PROBLEM_QUOTE_SIZE];

	if (a->entry == NULL || a->entry->where[where] == NULL)
		return NULL;
	text = json_object_get_string(a->entry->where[where]);
	if (*text != '$')
		return text;
	if (!json_object_object_get_ex(a->effective, text + 1, &value)) {
		problem_add(a->problems,
		    "program %s: %s is %s, and no parameter \"%s\" is given",
		    a->prog_name, metadata_where_name(where), text, text + 1);
		return NULL;
	}
	if (!json_object_is_type(value, json_type_string) &&
	    !json_object_is_type(value, json_type_int)) {
		problem_add(a->problems,
		    "parameter %s: %s: wanted a string, the %s of program %s",
		    text + 1, problem_quote(value, quoted),
		    metadata_where_name(where), a->prog_name);
		return NULL;
	}
	return json_object_get_string(value);
}

static enum attach_where
where_of_target(enum attach_target target)
{
	switch (target) {
	case TARGET_INTERFACE:
		return WHERE_INTERFACE;
	case TARGET_CGROUP:
		return WHERE_CGROUP;
	case TARGET_SYMBOL:
		return WHERE_SYMBOL;
	default: /* plan_probe.c has the others */
		return WHERE_MAX;
	}
}

/* Is key WHERE of any use to a program of this kind? */
static bool
is_useful(const struct attacher *a, enum attach_where where)
{
	bool is_tc =
	    a->kind == ATTACH_TCX_INGRESS || a->kind == ATTACH_TCX_EGRESS;

	if (plan_is_probe(a->row->target))
		return plan_probe_takes(a->row->target, where);
	if (where == where_of_target(a->row->target))
		return true;
	if (where == WHERE_SYMBOL)
		return a->kind == ATTACH_LSM_CGROUP;
	if (where == WHERE_MODE)
		return a->kind == ATTACH_XDP;
	return (where == WHERE_DIRECTION || where == WHERE_PRIORITY) && is_tc;
}

static void
check_useless(const struct attacher *a)
{
	unsigned int i;

	for (i = 0; a->entry != NULL && i < WHERE_MAX; i++)
		if (a->entry->where[i] != NULL &&
		    !is_useful(a, (enum attach_where)i))
			problem_add(a->problems,
			    "program %s: a program of section %s takes no %s",
			    a->prog_name, a->section,
			    metadata_where_name((enum attach_where)i));
}

static bool
is_interface(const char *s)
{
	const char *p;

	for (p = s; *p != '\0'; p++)
		if (*p == '/' || *p == ' ' || *p == ':')
			return false;
	return p != s && p - s <= IFNAME_LEN && strcmp(s, ".") != 0 &&
	    strcmp(s, "..") != 0;
}

static bool
is_cgroup_path(const char *s)
{
	size_t len;

	if (*s == '\0' || strlen(s) >= AEGIS_TARGET_SIZE)
		return false;
	for (; *s != '\0'; s += len) {
		s += strspn(s, "/");
		len = strcspn(s, "/");
		if (len == 2 && s[0] == '.' && s[1] == '.')
			return false;
	}
	return true;
}

static bool
is_symbol(const char *s)
{
	return *s != '\0' && strlen(s) < AEGIS_BPF_NAME_SIZE * 2 &&
	    strspn(s,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789_.$") == strlen(s);
}

static bool
check_target(const struct attacher *a, const char *target)
{
	const char *wanted;
	bool ok;

	switch (a->row->target) {
	case TARGET_INTERFACE:
		ok = is_interface(target);
		wanted = "the name of an interface (at most 15 characters), "
			 "or * for all that match";
		break;
	case TARGET_CGROUP:
		ok = is_cgroup_path(target);
		wanted = "the path of a cgroup, without \"..\"";
		break;
	default:
		ok = is_symbol(target);
		wanted = "the name of a kernel symbol";
		break;
	}
	if (!ok || !str_is_text(target, strlen(target) + 1)) {
		problem_add(a->problems,
		    "program %s: \"%.80s\" is no %s: wanted %s", a->prog_name,
		    target, attach_target_name(a->row->target), wanted);
		return false;
	}
	return true;
}

void
plan_wants_target(const struct attacher *a)
{
	problem_add(a->problems,
	    "program %s (section %s) needs to be told where: add "
	    "{\"program\": \"%s\", \"%s\": \"...\"} to \"attach\" in "
	    "metadata.json, or \"attach\": false to load it only",
	    a->prog_name, a->section, a->prog_name,
	    attach_target_name(a->row->target));
}

/* The target, or NULL after a problem was added. */
static const char *
find_target(const struct attacher *a)
{
	enum attach_where where = where_of_target(a->row->target);
	unsigned int before = a->problems->count;
	const char *target = attacher_text(a, where);

	if (target == NULL && a->row->target == TARGET_SYMBOL)
		target = a->section_target;
	if (target == NULL) {
		if (before == a->problems->count)
			plan_wants_target(a);
		return NULL;
	}
	return check_target(a, target) ? target : NULL;
}

/*
 * A link has no priority, its programs run in the order they came: with one,
 * a program is attached by a filter of the clsact qdisc on every kernel.
 */
static void
read_priority(const struct attacher *a, struct loadplan_attach *record)
{
	const char *priority = attacher_text(a, WHERE_PRIORITY);
	int64_t n = 0;

	if (a->kind != ATTACH_TCX_INGRESS && a->kind != ATTACH_TCX_EGRESS)
		return; /* check_useless() */
	if (priority != NULL &&
	    strnum_parse_i64(priority, 1, UINT16_MAX, &n) < 0)
		problem_add(a->problems,
		    "program %s: priority \"%.40s\": wanted 1 to %d",
		    a->prog_name, priority, UINT16_MAX);
	record->priority = (int32_t)n;
}

/* XDP's mode, tc's direction and priority. */
static void
read_details(struct attacher *a, struct loadplan_attach *record)
{
	const char *mode = attacher_text(a, WHERE_MODE);
	const char *direction = attacher_text(a, WHERE_DIRECTION);

	if (mode != NULL && strcmp(mode, "native") == 0)
		record->flags |= LOADPLAN_XDP_DRV;
	else if (mode != NULL && strcmp(mode, "generic") == 0)
		record->flags |= LOADPLAN_XDP_SKB;
	else if (mode != NULL && strcmp(mode, "auto") != 0)
		problem_add(a->problems,
		    "program %s: mode \"%.40s\", wanted native, generic or "
		    "auto",
		    a->prog_name, mode);
	if (direction != NULL && strcmp(direction, "ingress") == 0)
		record->kind = ATTACH_TCX_INGRESS;
	else if (direction != NULL && strcmp(direction, "egress") == 0)
		record->kind = ATTACH_TCX_EGRESS;
	else if (direction != NULL)
		problem_add(a->problems,
		    "program %s: direction \"%.40s\", wanted ingress or "
		    "egress",
		    a->prog_name, direction);
	read_priority(a, record);
}

/* What the kernel must know of a program before it is loaded. */
static int
set_symbol(struct attacher *a)
{
	struct loadplan_prog *prog = loadplan_builder_prog(a->plan, a->prog);
	const char *symbol = attacher_text(a, WHERE_SYMBOL);
	const char *already =
	    a->symbol_set != NULL ? a->symbol_set : a->section_target;

	if (symbol == NULL ||
	    (a->row->method != METHOD_LINK_TRACING &&
		a->kind != ATTACH_LSM_CGROUP))
		return 0;
	if (already != NULL && strcmp(already, symbol) == 0)
		return 0;
	if (a->symbol_set != NULL) {
		problem_add(a->problems,
		    "program %s: two symbols (%.60s, %.60s): a program of "
		    "section %s is bound to one when it is loaded",
		    a->prog_name, a->symbol_set, symbol, a->section);
		return 0;
	}
	if (!is_symbol(symbol)) {
		problem_add(a->problems,
		    "program %s: \"%.80s\" is no symbol: wanted the name of a "
		    "kernel symbol",
		    a->prog_name, symbol);
		return 0;
	}
	a->symbol_set = symbol;
	prog->attach_target_len = (uint32_t)strlen(symbol);
	return loadplan_add_data(
	    a->plan, symbol, strlen(symbol), &prog->attach_target_off);
}

/* Attach the program at hand as ENTRY (NULL: by its section alone) says. */
static int
attach(struct attacher *a, const struct metadata_attach *entry)
{
	struct loadplan_attach record = { .prog = a->prog };
	const char *target;
	bool ok;
	int r;

	a->entry = entry;
	check_useless(a);
	record.kind = a->kind;
	if (plan_is_probe(a->row->target)) {
		r = plan_probe(a, &record, &ok);
	} else {
		read_details(a, &record);
		target = find_target(a);
		ok = target != NULL;
		r = set_symbol(a);
		if (ok)
			str_copy_cut(
			    record.target, sizeof(record.target), target);
	}
	if (!ok || r < 0)
		return r;
	loadplan_builder_prog(a->plan, a->prog)->autoload = 1;
	return loadplan_add_attach(a->plan, &record);
}

/* Entries of one program that say the same twice would attach it twice. */
static void
check_repeated(const struct metadata *m, struct problems *problems)
{
	const struct metadata_attach *a, *b;
	unsigned int i, j, k;

	for (i = 0; i < m->attach_count; i++) {
		for (j = 0; j < i; j++) {
			a = &m->attaches[i];
			b = &m->attaches[j];
			for (k = 0; k < WHERE_MAX; k++)
				if (!json_object_equal(
					a->where[k], b->where[k]))
					break;
			if (k == WHERE_MAX &&
			    strcmp(a->program, b->program) == 0)
				problem_add(problems,
				    "attach entries %u and %u say the same",
				    j + 1, i + 1);
		}
	}
}

static int
attach_program(struct attacher *a, const struct metadata *m)
{
	const struct bpf_program *prog = a->o->progs[a->prog];
	unsigned int i, entries = 0;
	bool load_only = false;
	int r = 0;

	for (i = 0; i < m->attach_count; i++) {
		if (strcmp(m->attaches[i].program, a->prog_name) != 0)
			continue;
		entries++;
		load_only = load_only || m->attaches[i].load_only;
	}
	if (load_only) {
		loadplan_builder_prog(a->plan, a->prog)->autoload = 1;
		return 0;
	}
	/* "?xdp": loaded only if an entry asks for it. */
	if (entries == 0 && !bpf_program__autoload(prog))
		return 0;
	if (attach_from_section(a->section, &a->kind, &a->section_target) < 0) {
		problem_add(a->problems,
		    "program %s: section \"%.60s\" names no way of attaching "
		    "that this agent knows",
		    a->prog_name, a->section);
		return 0;
	}
	a->row = attach_row(a->kind);
	if (entries == 0)
		return attach(a, NULL);
	for (i = 0; r == 0 && i < m->attach_count; i++)
		if (strcmp(m->attaches[i].program, a->prog_name) == 0)
			r = attach(a, &m->attaches[i]);
	return r;
}

static void
check_entries(
    const struct object *o, const struct metadata *m, struct problems *problems)
{
	unsigned int i, k;

	for (i = 0; i < m->attach_count; i++) {
		if (object_find_prog(o, m->attaches[i].program) < 0)
			problem_add(problems,
			    "attach entry %u: program.o has no program "
			    "\"%.80s\"",
			    i + 1, m->attaches[i].program);
		for (k = 0; m->attaches[i].load_only && k < WHERE_MAX; k++)
			if (m->attaches[i].where[k] != NULL)
				problem_add(problems,
				    "attach entry %u: \"attach\": false and "
				    "a %s contradict each other",
				    i + 1,
				    metadata_where_name((enum attach_where)k));
	}
	check_repeated(m, problems);
}

int
plan_attaches(const struct object *o, const struct metadata *m,
    struct json_object *effective, struct loadplan_builder *plan,
    struct problems *problems)
{
	struct attacher a;
	unsigned int i;
	int r = 0;

	check_entries(o, m, problems);
	for (i = 0; r == 0 && i < o->prog_count; i++) {
		memset(&a, 0, sizeof(a));
		a.o = o;
		a.effective = effective;
		a.plan = plan;
		a.problems = problems;
		a.prog = i;
		a.prog_name = bpf_program__name(o->progs[i]);
		a.section = bpf_program__section_name(o->progs[i]);
		r = attach_program(&a, m);
	}
	if (r == -E2BIG) {
		problem_add(problems, "more than %d attachments",
		    LOADPLAN_MAX_ATTACHES);
		return 0;
	}
	return r;
}
