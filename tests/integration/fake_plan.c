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

#include "common/clock.h"
#include "common/memfd.h"
#include "common/strnum.h"
#include "fake_agentd.h"

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
		r = msg_send_LOAD_OLD_LINK(
		    fake()->bpfd, p->id, &link, dup(from->links[atoi(v[2])]));
		old_links++;
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

const char *
fake_start(uint64_t id, const char *path, const char *args)
{
	struct bpf_object_open_opts opts = { .sz = sizeof(opts),
		.object_name = "it" };
	struct plan_maker p = { .id = id, .h = fake_get(id) };
	struct msg_load_object object = { 0 };
	struct msg_load_plan plan = { 0 };
	struct msg_load_start start = { 0 };
	uint32_t i = 0;
	struct bpf_program *prog;
	bool attaches = strstr(args, "attach=") != NULL;

	fake_clear(p.h);
	p.h->used = true;
	p.bpf = bpf_object__open_file(path, &opts);
	if (p.bpf == NULL)
		return "cannot open the object";
	p.b = loadplan_builder_new();
	str_copy_cut(p.args, sizeof(p.args), args);
	describe_object(&p);
	if (!attaches)
		bpf_object__for_each_program (prog, p.bpf)
			loadplan_builder_prog(p.b, i++)->autoload = 1;
	each_key(&p, add_key);
	p.h->plan = loadplan_finish(p.b);
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
	each_key(&p, send_old);
	start.old_links = old_links;
	if (msg_send_LOAD_START(fake()->bpfd, id, &start) < 0)
		return "bpfd is gone";
	loadplan_builder_free(p.b);
	bpf_object__close(p.bpf);
	return NULL;
}
