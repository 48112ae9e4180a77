/* SPDX-License-Identifier: ISC */
#include "common/loadplan.h"

#include <string.h>
#include <sys/mman.h>

#include "common/attach_target.h"
#include "common/memfd.h"
#include "common/records.h"
#include "common/strnum.h"

_Static_assert(sizeof(struct loadplan_header) % 8 == 0 &&
	sizeof(struct loadplan_prog) % 8 == 0 &&
	sizeof(struct loadplan_map) % 8 == 0 &&
	sizeof(struct loadplan_attach) % 8 == 0 &&
	sizeof(struct loadplan_counter) % 8 == 0 &&
	sizeof(struct loadplan_write) % 8 == 0,
    "records follow each other at their natural alignment");

static bool
in_data(const struct loadplan *plan, uint32_t off, uint32_t len)
{
	return records_within(off, len, plan->header->data_len);
}

static const char *
check_header(const struct loadplan_header *h, size_t len)
{
	if (h->magic != LOADPLAN_MAGIC || h->version != LOADPLAN_VERSION)
		return "header: magic or version";
	if (h->total_len != len)
		return "header: length";
	if (h->prog_count == 0 || h->prog_count > LOADPLAN_MAX_PROGS ||
	    h->map_count > LOADPLAN_MAX_MAPS ||
	    h->attach_count > LOADPLAN_MAX_ATTACHES ||
	    h->counter_count > LOADPLAN_MAX_COUNTERS ||
	    h->write_count > LOADPLAN_MAX_WRITES)
		return "header: a count";
	if (!str_is_identifier(h->object_name, sizeof(h->object_name)) ||
	    !str_is_identifier(h->name, sizeof(h->name)) ||
	    !str_is_identifier(
		h->artifact_version, sizeof(h->artifact_version)) ||
	    (h->replaces[0] != '\0' &&
		!str_is_identifier(h->replaces, sizeof(h->replaces))))
		return "header: a name";
	return NULL;
}

static const char *
check_progs(const struct loadplan *plan)
{
	const struct loadplan_prog *p;
	uint32_t i;

	for (i = 0; i < plan->header->prog_count; i++) {
		p = &plan->progs[i];
		if (!str_is_text(p->name, sizeof(p->name)) ||
		    p->name[0] == '\0')
			return "program: name";
		if (p->autoload > 1)
			return "program: autoload";
		if (!in_data(
			plan, p->attach_target_off, p->attach_target_len) ||
		    p->attach_target_len >= AEGIS_TARGET_SIZE)
			return "program: attach target";
	}
	return NULL;
}

static const char *
check_maps(const struct loadplan *plan)
{
	const struct loadplan_map *m;
	uint32_t i;

	for (i = 0; i < plan->header->map_count; i++) {
		m = &plan->maps[i];
		if (!str_is_text(m->name, sizeof(m->name)) ||
		    m->name[0] == '\0')
			return "map: name";
		if (m->flags &
		    ~(uint32_t)(LOADPLAN_MAP_STATS | LOADPLAN_MAP_EVENTS |
			LOADPLAN_MAP_CARRY | LOADPLAN_MAP_LOST))
			return "map: flags";
	}
	return NULL;
}

/* Symbols one after the other, each with its NUL. */
static bool
is_symbol_list(const char *list, uint32_t len)
{
	uint32_t n;

	if (len == 0 || list[len - 1] != '\0')
		return false;
	for (; len > 0; list += n + 1, len -= n + 1) {
		n = (uint32_t)strlen(list);
		if (!target_is_symbol(list, n))
			return false;
	}
	return true;
}

/* What the broker and the kernel are told word by word. */
static bool
target_is_sound(const struct loadplan *plan, const struct loadplan_attach *a)
{
	const char *symbols = (const char *)plan->data + a->symbols_off;
	enum attach_target kind = attach_row(a->kind)->target;
	struct target_event event;
	uint32_t family, hook;

	if (kind != TARGET_KPROBE && kind != TARGET_BINARY && a->offset != 0)
		return false;
	if (kind != TARGET_BINARY && kind != TARGET_KPROBES &&
	    a->symbols_len != 0)
		return false;
	if (kind == TARGET_KPROBE || kind == TARGET_BINARY ||
		    kind == TARGET_EVENT
		? a->name_len == 0
		: a->name_len != 0)
		return false;
	if ((kind == TARGET_EVENT) != (a->rate != 0))
		return false;
	switch (kind) {
	case TARGET_KPROBE:
		return target_is_symbol(a->target, a->name_len);
	case TARGET_KPROBES:
		return is_symbol_list(symbols, a->symbols_len);
	case TARGET_TRACEPOINT:
		return target_is_tracepoint(a->target);
	case TARGET_BINARY:
		return target_is_binary(a->target, a->name_len) &&
		    (a->symbols_len == 0 ||
			target_is_symbol(symbols, a->symbols_len));
	case TARGET_EVENT:
		return target_find_event(a->target, a->name_len, &event) == 0;
	case TARGET_HOOK:
		return target_find_hook(a->target, &family, &hook) == 0;
	default:
		return true;
	}
}

static bool
flags_are_sound(const struct loadplan_attach *a)
{
	switch ((enum attach_kind)a->kind) {
	case ATTACH_XDP:
		return (a->flags &
			   ~(uint32_t)(LOADPLAN_XDP_SKB | LOADPLAN_XDP_DRV)) ==
		    0;
	case ATTACH_PERF_EVENT:
		return (a->flags & ~(uint32_t)LOADPLAN_PERF_PERIOD) == 0;
	default:
		return a->flags == 0;
	}
}

static const char *
check_attaches(const struct loadplan *plan)
{
	const struct loadplan_attach *a;
	uint32_t i;

	for (i = 0; i < plan->header->attach_count; i++) {
		a = &plan->attaches[i];
		if (a->prog >= plan->header->prog_count ||
		    !plan->progs[a->prog].autoload)
			return "attachment: program";
		if (attach_row(a->kind) == NULL)
			return "attachment: kind";
		if (!flags_are_sound(a))
			return "attachment: flags";
		if ((a->kind == ATTACH_TCX_INGRESS ||
			a->kind == ATTACH_TCX_EGRESS) &&
		    (a->priority < 0 || a->priority > UINT16_MAX))
			return "attachment: priority";
		if (!str_is_text(a->target, sizeof(a->target)) ||
		    a->target[0] == '\0' || a->name_len > strlen(a->target) ||
		    !in_data(plan, a->symbols_off, a->symbols_len) ||
		    !target_is_sound(plan, a))
			return "attachment: target";
	}
	return NULL;
}

static const char *
check_counters(const struct loadplan *plan)
{
	const struct loadplan_counter *c;
	uint32_t i, end;

	for (i = 0; i < plan->header->counter_count; i++) {
		c = &plan->counters[i];
		if (c->kind >= COUNTER_KIND_MAX)
			return "counter: kind";
		if (c->map >= plan->header->map_count ||
		    !(plan->maps[c->map].flags & LOADPLAN_MAP_STATS))
			return "counter: map";
		if (c->size != 1 && c->size != 2 && c->size != 4 &&
		    c->size != 8)
			return "counter: size";
		if (__builtin_add_overflow(c->offset, c->size, &end) ||
		    end > plan->maps[c->map].value_size)
			return "counter: offset";
	}
	return NULL;
}

static const char *
check_writes(const struct loadplan *plan)
{
	const struct loadplan_write *w;
	const struct loadplan_map *m;
	uint32_t i, end;

	for (i = 0; i < plan->header->write_count; i++) {
		w = &plan->writes[i];
		if (w->map >= plan->header->map_count)
			return "write: map";
		m = &plan->maps[w->map];
		if (!in_data(plan, w->value_off, w->value_len))
			return "write: value outside the data";
		if (w->kind == WRITE_INITIAL) {
			if (w->value_len == 0 ||
			    __builtin_add_overflow(
				w->offset, w->value_len, &end) ||
			    end > m->value_size)
				return "write: beyond the global data";
		} else if (w->kind == WRITE_ELEMENT) {
			if (w->value_len != m->value_size ||
			    !in_data(plan, w->key_off, m->key_size))
				return "write: key or value size";
		} else {
			return "write: kind";
		}
	}
	return NULL;
}

int
loadplan_check(
    const void *bytes, size_t len, struct loadplan *plan, const char **what)
{
	static const char *(*const checks[])(const struct loadplan *) = {
		check_progs,
		check_maps,
		check_attaches,
		check_counters,
		check_writes,
	};
	const struct loadplan_header *h = bytes;
	const uint8_t *at = bytes;
	size_t left = len, i;

	*what = "header: too short";
	memset(plan, 0, sizeof(*plan));
	plan->header = records_take(&at, &left, 1, sizeof(*h));
	if (plan->header == NULL)
		return -EBADMSG;
	*what = check_header(h, len);
	if (*what != NULL)
		return -EBADMSG;
	*what = "records longer than the plan";
	plan->progs =
	    records_take(&at, &left, h->prog_count, sizeof(*plan->progs));
	plan->maps =
	    records_take(&at, &left, h->map_count, sizeof(*plan->maps));
	plan->attaches =
	    records_take(&at, &left, h->attach_count, sizeof(*plan->attaches));
	plan->counters =
	    records_take(&at, &left, h->counter_count, sizeof(*plan->counters));
	plan->writes =
	    records_take(&at, &left, h->write_count, sizeof(*plan->writes));
	if (plan->progs == NULL || plan->maps == NULL ||
	    plan->attaches == NULL || plan->counters == NULL ||
	    plan->writes == NULL || left != h->data_len)
		return -EBADMSG;
	plan->data = at;
	for (i = 0; i < nitems(checks); i++) {
		*what = checks[i](plan);
		if (*what != NULL)
			return -EBADMSG;
	}
	return 0;
}

/* A growing array of records. */
struct records {
	void *items;
	size_t size;
	uint32_t count;
	uint32_t room;
	uint32_t max;
};

struct loadplan_builder {
	struct loadplan_header header;
	struct records progs;
	struct records maps;
	struct records attaches;
	struct records counters;
	struct records writes;
	struct records data;
};

struct loadplan_builder *
loadplan_builder_new(void)
{
	struct loadplan_builder *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	b->header.magic = LOADPLAN_MAGIC;
	b->header.version = LOADPLAN_VERSION;
	b->header.limits = (struct loadplan_limits){ -1, -1, -1, -1, -1 };
	b->progs.size = sizeof(struct loadplan_prog);
	b->progs.max = LOADPLAN_MAX_PROGS;
	b->maps.size = sizeof(struct loadplan_map);
	b->maps.max = LOADPLAN_MAX_MAPS;
	b->attaches.size = sizeof(struct loadplan_attach);
	b->attaches.max = LOADPLAN_MAX_ATTACHES;
	b->counters.size = sizeof(struct loadplan_counter);
	b->counters.max = LOADPLAN_MAX_COUNTERS;
	b->writes.size = sizeof(struct loadplan_write);
	b->writes.max = LOADPLAN_MAX_WRITES;
	b->data.size = 1;
	b->data.max = AEGIS_PLAN_MAX / 2;
	return b;
}

void
loadplan_builder_free(struct loadplan_builder *b)
{
	if (b == NULL)
		return;
	free(b->progs.items);
	free(b->maps.items);
	free(b->attaches.items);
	free(b->counters.items);
	free(b->writes.items);
	free(b->data.items);
	free(b);
}

struct loadplan_header *
loadplan_builder_header(struct loadplan_builder *b)
{
	return &b->header;
}

static int
records_add(struct records *r, const void *items, size_t count)
{
	size_t need, room;
	void *p;

	if (__builtin_add_overflow((size_t)r->count, count, &need) ||
	    need > r->max)
		return -E2BIG;
	if (need > r->room) {
		room = r->room == 0 ? 16 : (size_t)r->room * 2;
		room = room < need ? need : room;
		p = reallocarray(r->items, room, r->size);
		if (p == NULL)
			return -ENOMEM;
		r->items = p;
		r->room = (uint32_t)room;
	}
	if (count > 0)
		memcpy((char *)r->items + r->count * r->size, items,
		    count * r->size);
	r->count = (uint32_t)need;
	return 0;
}

int
loadplan_add_prog(struct loadplan_builder *b, const struct loadplan_prog *prog)
{
	return records_add(&b->progs, prog, 1);
}

int
loadplan_add_map(struct loadplan_builder *b, const struct loadplan_map *map)
{
	return records_add(&b->maps, map, 1);
}

int
loadplan_add_attach(
    struct loadplan_builder *b, const struct loadplan_attach *attach)
{
	return records_add(&b->attaches, attach, 1);
}

int
loadplan_add_counter(
    struct loadplan_builder *b, const struct loadplan_counter *counter)
{
	return records_add(&b->counters, counter, 1);
}

int
loadplan_add_write(
    struct loadplan_builder *b, const struct loadplan_write *write)
{
	return records_add(&b->writes, write, 1);
}

int
loadplan_add_data(
    struct loadplan_builder *b, const void *data, size_t len, uint32_t *off)
{
	*off = b->data.count;
	return records_add(&b->data, data, len);
}

struct loadplan_prog *
loadplan_builder_prog(struct loadplan_builder *b, uint32_t index)
{
	return (struct loadplan_prog *)b->progs.items + index;
}

struct loadplan_map *
loadplan_builder_map(struct loadplan_builder *b, uint32_t index)
{
	return (struct loadplan_map *)b->maps.items + index;
}

static uint8_t *
put_records(uint8_t *at, const struct records *r)
{
	size_t len = r->count * r->size;

	if (len > 0)
		memcpy(at, r->items, len);
	return at + len;
}

int
loadplan_finish(struct loadplan_builder *b)
{
	const struct records *all[] = { &b->progs, &b->maps, &b->attaches,
		&b->counters, &b->writes, &b->data };
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t len = sizeof(b->header), i;
	uint8_t *at;

	for (i = 0; i < nitems(all); i++)
		len += all[i]->count * all[i]->size;
	if (len > AEGIS_PLAN_MAX)
		return -E2BIG;
	b->header.total_len = len;
	b->header.prog_count = b->progs.count;
	b->header.map_count = b->maps.count;
	b->header.attach_count = b->attaches.count;
	b->header.counter_count = b->counters.count;
	b->header.write_count = b->writes.count;
	b->header.data_len = b->data.count;
	bytes = malloc(len);
	if (bytes == NULL)
		return -ENOMEM;
	memcpy(bytes, &b->header, sizeof(b->header));
	at = bytes + sizeof(b->header);
	for (i = 0; i < nitems(all); i++)
		at = put_records(at, all[i]);
	return memfd_from_bytes("loadplan", bytes, len);
}
