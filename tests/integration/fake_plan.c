/* SPDX-License-Identifier: ISC */
/*
 * The load plan that verifyd would make, from the object itself and a line of
 * words, and sending it.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <err.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agentd/broker_perf.h"
#include "common/clock.h"
#include "common/memfd.h"
#include "common/strnum.h"
#include "fake_agentd.h"
#include "verifyd/elf_symbol.h"

struct plan_maker {
	struct bpf_object *bpf;
	struct loadplan_builder *b;
	struct fake_held *h;
	uint64_t id;
	char args[8192];
};

static int
map_index(struct plan_maker *p, const char *name)
{
	struct bpf_map *m;
	int i = 0;

	bpf_object__for_each_map (m, p->bpf) {
		if (strcmp(bpf_map__name(m), name) == 0)
			return i;
		i++;
	}
	errx(2, "no map %s", name);
}

static int
prog_index(struct plan_maker *p, const char *name)
{
	struct bpf_program *prog;
	int i = 0;

	bpf_object__for_each_program (prog, p->bpf) {
		if (strcmp(bpf_program__name(prog), name) == 0)
			return i;
		i++;
	}
	errx(2, "no program %s", name);
}

static uint32_t
add_hex(struct plan_maker *p, const char *hex, uint32_t *len)
{
	uint8_t bytes[1024];
	uint32_t off;

	*len = (uint32_t)strlen(hex) / 2;
	if (*len > sizeof(bytes) || strnum_parse_hex(hex, bytes, *len) < 0 ||
	    loadplan_add_data(p->b, bytes, *len, &off) < 0)
		errx(2, "hex %s", hex);
	return off;
}

/* The internal map and the offset of a global variable. */
static void
find_global(struct plan_maker *p, const char *name, struct loadplan_write *w)
{
	const struct btf *btf = bpf_object__btf(p->bpf);
	const struct btf_var_secinfo *var;
	const struct btf_type *sec;
	char map[64];
	uint32_t id, i;

	for (id = 1; id < btf__type_cnt(btf); id++) {
		sec = btf__type_by_id(btf, id);
		if (!btf_is_datasec(sec))
			continue;
		var = btf_var_secinfos(sec);
		for (i = 0; i < btf_vlen(sec); i++) {
			if (strcmp(btf__name_by_offset(btf,
				       btf__type_by_id(btf, var[i].type)
					   ->name_off),
				name) != 0)
				continue;
			(void)snprintf(map, sizeof(map), "it%s",
			    btf__name_by_offset(btf, sec->name_off));
			w->map = (uint32_t)map_index(p, map);
			w->offset = var[i].offset;
			return;
		}
	}
	errx(2, "no global %s", name);
}

/* What plan_probe.c makes of an entry: path:symbol, a symbol, an event. */
static void
add_probe(struct plan_maker *p, struct loadplan_attach *a)
{
	const char *colon;
	int r = 0;

	switch (attach_row(a->kind)->target) {
	case TARGET_KPROBE:
		a->name_len = (uint32_t)strlen(a->target);
		break;
	case TARGET_KPROBES:
		a->symbols_len = (uint32_t)strlen(a->target) + 1;
		r = loadplan_add_data(
		    p->b, a->target, a->symbols_len, &a->symbols_off);
		break;
	case TARGET_BINARY:
		colon = strchr(a->target, ':');
		a->name_len = (uint32_t)(colon - a->target);
		a->symbols_len = (uint32_t)strlen(colon + 1);
		r = loadplan_add_data(
		    p->b, colon + 1, a->symbols_len, &a->symbols_off);
		break;
	case TARGET_EVENT:
		a->name_len = (uint32_t)strlen(a->target);
		a->rate = 1000;
		break;
	default:
		break;
	}
	if (r < 0)
		errx(2, "data");
}

static void
add_attach(struct plan_maker *p, char *prog, char *kind, char *target,
    const char *flags)
{
	struct loadplan_attach a = { 0 };
	uint32_t i;

	a.prog = (uint32_t)prog_index(p, prog);
	for (i = 0; i < ATTACH_KIND_MAX; i++)
		if (strcmp(attach_row(i)->name, kind) == 0)
			break;
	a.kind = i;
	a.flags = flags == NULL ? 0 : (uint32_t)atoi(flags);
	str_copy_cut(a.target, sizeof(a.target), target);
	add_probe(p, &a);
	loadplan_builder_prog(p->b, a.prog)->autoload = 1;
	if (loadplan_add_attach(p->b, &a) < 0)
		errx(2, "attach");
}

static void
add_key(struct plan_maker *p, const char *key, char *v[4])
{
	struct loadplan_write w = { 0 };
	struct loadplan_prog *prog;

	if (strcmp(key, "attach") == 0) {
		add_attach(p, v[0], v[1], v[2], v[3]);
	} else if (strcmp(key, "global") == 0) {
		w.kind = WRITE_INITIAL;
		find_global(p, v[0], &w);
		w.value_off = add_hex(p, v[1], &w.value_len);
	} else if (strcmp(key, "far") == 0) {
		w.kind = WRITE_INITIAL;
		w.map = (uint32_t)map_index(p, v[0]);
		w.offset = (uint32_t)atoi(v[1]);
		w.value_off = add_hex(p, "11223344", &w.value_len);
	} else if (strcmp(key, "elem") == 0) {
		uint32_t key_len;

		w.kind = WRITE_ELEMENT;
		w.map = (uint32_t)map_index(p, v[0]);
		w.key_off = add_hex(p, v[1], &key_len);
		w.value_off = add_hex(p, v[2], &w.value_len);
	} else if (strcmp(key, "target") == 0) {
		prog =
		    loadplan_builder_prog(p->b, (uint32_t)prog_index(p, v[0]));
		prog->attach_target_len = (uint32_t)strlen(v[1]);
		if (loadplan_add_data(p->b, v[1], prog->attach_target_len,
			&prog->attach_target_off) < 0)
			errx(2, "data");
	} else if (strcmp(key, "name") == 0) {
		str_copy_cut(
		    loadplan_builder_map(p->b, (uint32_t)map_index(p, v[0]))
			->name,
		    AEGIS_BPF_NAME_SIZE, v[1]);
	} else if (strcmp(key, "size") == 0) {
		loadplan_builder_map(p->b, (uint32_t)map_index(p, v[0]))
		    ->value_size = (uint32_t)atoi(v[1]);
	}
	if (w.value_len != 0 && loadplan_add_write(p->b, &w) < 0)
		errx(2, "write");
}

/* Call FN for every key=a,b,c,d of the arguments. */
static void
each_key(struct plan_maker *p,
    void (*fn)(struct plan_maker *, const char *, char **))
{
	char copy[sizeof(p->args)], *word, *save = NULL, *v[4], *save2;
	size_t i;

	memcpy(copy, p->args, sizeof(copy));
	for (word = strtok_r(copy, " ", &save); word != NULL;
	     word = strtok_r(NULL, " ", &save)) {
		char *value = strchr(word, '=');

		if (value == NULL)
			errx(2, "argument %s", word);
		*value++ = '\0';
		save2 = NULL;
		for (i = 0; i < 4; i++)
			v[i] = strtok_r(i == 0 ? value : NULL, ",", &save2);
		fn(p, word, v);
	}
}

static void
add_counters(struct plan_maker *p, uint32_t map, uint32_t value_size)
{
	/* struct aegis_stats: processed, dropped, violations, errors */
	static const uint32_t offsets[COUNTER_KIND_MAX] = { 0, 16, 24 };
	struct loadplan_counter c = { .map = map, .size = 8 };

	if (value_size != 32)
		return;
	for (c.kind = 0; c.kind < COUNTER_KIND_MAX; c.kind++) {
		c.offset = offsets[c.kind];
		if (loadplan_add_counter(p->b, &c) < 0)
			errx(2, "counter");
	}
}

static void
describe_object(struct plan_maker *p)
{
	struct loadplan_header *hdr = loadplan_builder_header(p->b);
	struct bpf_program *prog;
	struct bpf_map *m;
	uint32_t i = 0;

	str_copy_cut(hdr->object_name, sizeof(hdr->object_name), "it");
	str_copy_cut(hdr->name, sizeof(hdr->name), "it_program");
	str_copy_cut(
	    hdr->artifact_version, sizeof(hdr->artifact_version), "1.0.0");
	bpf_object__for_each_program (prog, p->bpf) {
		struct loadplan_prog lp = { .prog_type =
						bpf_program__type(prog) };

		str_copy_cut(lp.name, sizeof(lp.name), bpf_program__name(prog));
		if (loadplan_add_prog(p->b, &lp) < 0)
			errx(2, "prog");
	}
	bpf_object__for_each_map (m, p->bpf) {
		struct loadplan_map lm = {
			.type = bpf_map__type(m),
			.key_size = bpf_map__key_size(m),
			.value_size = bpf_map__value_size(m),
			.max_entries = bpf_map__max_entries(m),
		};

		str_copy_cut(lm.name, sizeof(lm.name), bpf_map__name(m));
		str_copy_cut(p->h->map_names[i], sizeof(lm.name), lm.name);
		if (strcmp(lm.name, "stats") == 0) {
			lm.flags = LOADPLAN_MAP_STATS;
			add_counters(p, i, lm.value_size);
		}
		if (loadplan_add_map(p->b, &lm) < 0)
			errx(2, "map");
		i++;
	}
}

static uint32_t old_links;
static uint64_t predecessor;

static void
send_old(struct plan_maker *p, const char *key, char *v[4])
{
	struct msg_load_old_link link = { 0 };
	struct msg_load_map map = { 0 };
	struct fake_held *from;
	int i, r = 0;

	if (strcmp(key, "old") == 0) {
		link.attach = (uint32_t)atoi(v[0]);
		from = fake_get((uint64_t)atoi(v[1]));
		link.ifindex = from->ifindexes[atoi(v[2])];
		r = msg_send_LOAD_OLD_LINK(
		    fake()->bpfd, p->id, &link, dup(from->links[atoi(v[2])]));
		old_links++;
	} else if (strcmp(key, "predecessor") == 0) {
		predecessor = (uint64_t)atoi(v[0]);
	} else if (strcmp(key, "carry") == 0) {
		map.index = (uint32_t)map_index(p, v[0]);
		from = fake_get((uint64_t)atoi(v[1]));
		for (i = 0; strcmp(from->map_names[i], v[0]) != 0; i++)
			continue;
		r = msg_send_LOAD_OLD_MAP(
		    fake()->bpfd, p->id, &map, dup(from->maps[i]));
	}
	if (r < 0)
		errx(2, "send old");
}

/* agentd's broker with verifyd's eyes; false: h->result says why not. */
static bool
open_events(struct fake_held *h, struct broker_events *events)
{
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	_cleanup_(probes_free) struct probes *probes = NULL;
	char *error = h->result.error;
	struct loadplan plan;
	char symbol[AEGIS_TARGET_SIZE] = "";
	const char *what;
	uint32_t i;
	int r;

	memset(events, 0, sizeof(*events));
	if (memfd_map(h->plan, AEGIS_PLAN_MAX, &map) < 0 ||
	    loadplan_check(map.data, map.len, &plan, &what) < 0)
		return true; /* that is for bpfd to find out */
	r = probes_open(&plan, &probes, error, AEGIS_TEXT_SIZE);
	for (i = 0; r == 0 && i < plan.header->attach_count; i++) {
		if (probes == NULL || !probes->sites[i].waiting)
			continue;
		memcpy(symbol, plan.data + plan.attaches[i].symbols_off,
		    plan.attaches[i].symbols_len);
		r = elf_symbol_offset(probes->sites[i].fd, symbol,
		    &probes->sites[i].offset, error, AEGIS_TEXT_SIZE);
		probes->sites[i].waiting = false;
	}
	if (r == 0)
		r = broker_open_events(
		    &plan, probes, events, error, AEGIS_TEXT_SIZE);
	h->done = r < 0;
	h->result.result = r < 0 ? WORK_REFUSED : WORK_OK;
	return r == 0;
}

static void
send_events(uint64_t id, struct broker_events *events)
{
	struct msg_load_perf msg = { 0 };
	size_t i;

	for (i = 0; i < events->count; i++) {
		msg.attach = events->items[i].attach;
		msg.cpu = events->items[i].cpu;
		if (msg_send_LOAD_PERF(fake()->bpfd, id, &msg,
			fd_steal(&events->items[i].fd)) < 0)
			errx(2, "send event");
	}
	broker_events_release(events);
}

static int
object_memfd(const char *path, bool sealed)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *bytes = NULL;
	struct stat st;
	int out_fd;

	if (fd == -1 || fstat(fd, &st) == -1)
		err(2, "%s", path);
	bytes = malloc((size_t)st.st_size);
	if (bytes == NULL || read(fd, bytes, (size_t)st.st_size) != st.st_size)
		err(2, "%s", path);
	if (sealed)
		return memfd_from_bytes("it", bytes, (size_t)st.st_size);
	out_fd = memfd_create_buffer("it");
	if (write(out_fd, bytes, (size_t)st.st_size) != st.st_size)
		err(2, "memfd");
	return out_fd;
}

/* The builder has it all but the end. */
static bool
make_plan(struct plan_maker *p, const char *path, const char *args)
{
	struct bpf_object_open_opts opts = { .sz = sizeof(opts),
		.object_name = "it" };
	struct bpf_program *prog;
	uint32_t i = 0;

	p->bpf = bpf_object__open_file(path, &opts);
	if (p->bpf == NULL)
		return false;
	p->b = loadplan_builder_new();
	str_copy_cut(p->args, sizeof(p->args), args);
	describe_object(p);
	if (strstr(args, "attach=") == NULL)
		bpf_object__for_each_program (prog, p->bpf)
			loadplan_builder_prog(p->b, i++)->autoload = 1;
	each_key(p, add_key);
	return true;
}

const char *
fake_update(uint64_t id, uint64_t running, const char *path, const char *args)
{
	struct plan_maker p = { .id = id, .h = fake_get(id) };
	struct msg_update_plan msg = { .running = running };
	int r;

	fake()->updated = false;
	if (!make_plan(&p, path, args))
		return "cannot open the object";
	r = msg_send_UPDATE_PLAN(fake()->bpfd, id, &msg, loadplan_finish(p.b));
	loadplan_builder_free(p.b);
	bpf_object__close(p.bpf);
	return r < 0 ? "bpfd is gone" : NULL;
}

const char *
fake_start(uint64_t id, const char *path, const char *args)
{
	struct plan_maker p = { .id = id, .h = fake_get(id) };
	struct msg_load_object object = { 0 };
	struct msg_load_plan plan = { 0 };
	struct msg_load_start start = { 0 };
	struct broker_events events;

	fake_clear(p.h);
	p.h->used = true;
	if (!make_plan(&p, path, args))
		return "cannot open the object";
	p.h->plan = loadplan_finish(p.b);
	if (!open_events(p.h, &events)) {
		loadplan_builder_free(p.b);
		bpf_object__close(p.bpf);
		return NULL;
	}
	(void)snprintf(
	    object.artifact_id, sizeof(object.artifact_id), "artifact-%lu", id);
	memcpy(plan.artifact_id, object.artifact_id, sizeof(plan.artifact_id));
	p.h->sent_ns = clock_boot_ns();
	if (fake()->bpfd == NULL ||
	    msg_send_LOAD_OBJECT(fake()->bpfd, id, &object,
		object_memfd(path, strstr(args, "unsealed=") == NULL)) < 0 ||
	    msg_send_LOAD_PLAN(fake()->bpfd, id, &plan, dup(p.h->plan)) < 0)
		return "bpfd is gone";
	old_links = 0;
	predecessor = 0;
	each_key(&p, send_old);
	start.old_links = old_links;
	start.perf_events = (uint32_t)events.count;
	start.predecessor = predecessor;
	send_events(id, &events);
	if (msg_send_LOAD_START(fake()->bpfd, id, &start) < 0)
		return "bpfd is gone";
	loadplan_builder_free(p.b);
	bpf_object__close(p.bpf);
	return NULL;
}
