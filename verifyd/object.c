/* SPDX-License-Identifier: ISC */
#include "verifyd/object.h"

#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "common/strnum.h"

/* libbpf makes map names of 15 characters from the object's and ".rodata". */
#define OBJECT_NAME_LEN 15

/*
 * What libbpf said last: it hands no context to its print function, so this
 * is the one place outside the logger where state is global.
 */
static char last_words[512];

static int _printf_(2, 0)
    remember_words(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char line[sizeof(last_words)];
	size_t len;

	if (level != LIBBPF_WARN || vsnprintf(line, sizeof(line), fmt, ap) < 0)
		return 0;
	len = strcspn(line, "\n");
	line[len] = '\0';
	/* The first complaint is the cause, the later ones follow from it. */
	if (last_words[0] == '\0')
		str_copy_cut(last_words, sizeof(last_words), line);
	return 0;
}

/* Letters, digits and '_', as the kernel wants them in map names. */
static void
make_name(struct object *o, const char *artifact_name)
{
	size_t i;

	for (i = 0; i < OBJECT_NAME_LEN && artifact_name[i] != '\0'; i++)
		o->name[i] =
		    (artifact_name[i] >= 'a' && artifact_name[i] <= 'z') ||
			(artifact_name[i] >= 'A' && artifact_name[i] <= 'Z') ||
			(artifact_name[i] >= '0' && artifact_name[i] <= '9')
		    ? artifact_name[i]
		    : '_';
	o->name[i] = '\0';
}

static int
list_contents(struct object *o, struct problems *problems)
{
	struct bpf_program *prog;
	struct bpf_map *map;

	bpf_object__for_each_program (prog, o->bpf) {
		if (o->prog_count == LOADPLAN_MAX_PROGS) {
			problem_add(problems,
			    "program.o: more than %d programs",
			    LOADPLAN_MAX_PROGS);
			return -EBADMSG;
		}
		o->progs[o->prog_count++] = prog;
	}
	bpf_object__for_each_map (map, o->bpf) {
		if (o->map_count == LOADPLAN_MAX_MAPS) {
			problem_add(problems, "program.o: more than %d maps",
			    LOADPLAN_MAX_MAPS);
			return -EBADMSG;
		}
		o->maps[o->map_count++] = map;
	}
	if (o->prog_count == 0) {
		problem_add(problems, "program.o holds no program");
		return -EBADMSG;
	}
	return 0;
}

int
object_open(struct object *o, const void *data, size_t len,
    const char *artifact_name, struct problems *problems)
{
	struct bpf_object_open_opts opts = { .sz = sizeof(opts) };
	int r;

	memset(o, 0, sizeof(*o));
	make_name(o, artifact_name);
	opts.object_name = o->name;
	last_words[0] = '\0';
	(void)libbpf_set_print(remember_words);
	errno = 0;
	o->bpf = bpf_object__open_mem(data, len, &opts);
	if (o->bpf == NULL) {
		r = -errno;
		problem_add(problems, "program.o is no BPF object: %s",
		    last_words[0] != '\0' ? last_words : strerror(-r));
		return -EBADMSG;
	}
	o->btf = bpf_object__btf(o->bpf);
	return list_contents(o, problems);
}

void
object_close(struct object *o)
{
	bpf_object__close(o->bpf);
	memset(o, 0, sizeof(*o));
}

int
object_find_prog(const struct object *o, const char *name)
{
	unsigned int i;

	for (i = 0; i < o->prog_count; i++)
		if (strcmp(bpf_program__name(o->progs[i]), name) == 0)
			return (int)i;
	return -ENOENT;
}

int
object_find_map(const struct object *o, const char *name)
{
	unsigned int i;

	for (i = 0; i < o->map_count; i++)
		if (!bpf_map__is_internal(o->maps[i]) &&
		    strcmp(bpf_map__name(o->maps[i]), name) == 0)
			return (int)i;
	return -ENOENT;
}

/* The internal map that SECTION becomes: "obj.rodata", or its real name. */
static int
find_section_map(const struct object *o, const char *section)
{
	const char *name;
	size_t len;
	unsigned int i;

	for (i = 0; i < o->map_count; i++) {
		if (!bpf_map__is_internal(o->maps[i]))
			continue;
		name = bpf_map__name(o->maps[i]);
		len = strlen(name);
		if (strcmp(name, section) == 0 ||
		    (name[0] != '.' && len > strlen(section) &&
			strcmp(name + len - strlen(section), section) == 0))
			return (int)i;
	}
	return -ENOENT;
}

/* Fill G from variable VSI of the section that is map MAP. */
static bool
read_global(const struct object *o, unsigned int map,
    const struct btf_var_secinfo *vsi, const char **name,
    struct object_global *g)
{
	const struct btf_type *var = btf__type_by_id(o->btf, vsi->type);
	size_t size = 0;
	uint32_t end;

	if (var == NULL || !btf_is_var(var) ||
	    bpf_map__initial_value(o->maps[map], &size) == NULL)
		return false;
	*name = btf__name_by_offset(o->btf, var->name_off);
	g->map = map;
	g->offset = vsi->offset;
	g->size = vsi->size;
	g->type_id = var->type;
	return *name != NULL && **name != '\0' &&
	    !__builtin_add_overflow(vsi->offset, vsi->size, &end) &&
	    end <= size;
}

bool
object_each_global(const struct object *o,
    bool (*fn)(const char *name, const struct object_global *g, void *ctx),
    void *ctx)
{
	uint32_t id, n = o->btf != NULL ? btf__type_cnt(o->btf) : 0;
	const struct btf_var_secinfo *vsi;
	const struct btf_type *t;
	struct object_global g;
	const char *name;
	int map, i;

	for (id = 1; id < n; id++) {
		t = btf__type_by_id(o->btf, id);
		if (t == NULL || !btf_is_datasec(t))
			continue;
		name = btf__name_by_offset(o->btf, t->name_off);
		map = name != NULL ? find_section_map(o, name) : -ENOENT;
		if (map < 0)
			continue;
		vsi = btf_var_secinfos(t);
		for (i = 0; i < btf_vlen(t); i++)
			if (read_global(
				o, (unsigned int)map, &vsi[i], &name, &g) &&
			    !fn(name, &g, ctx))
				return false;
	}
	return true;
}

struct global_search {
	const char *name;
	struct object_global *out;
};

static bool
is_not_wanted(const char *name, const struct object_global *g, void *ctx)
{
	struct global_search *search = ctx;

	if (strcmp(name, search->name) != 0)
		return true;
	*search->out = *g;
	return false;
}

int
object_find_global(
    const struct object *o, const char *name, struct object_global *global)
{
	struct global_search search = { name, global };

	return object_each_global(o, is_not_wanted, &search) ? -ENOENT : 0;
}
