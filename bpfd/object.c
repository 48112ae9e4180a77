/* SPDX-License-Identifier: ISC */
#include "bpfd/object.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "bpfd/attach.h"
#include "bpfd/corebtf.h"
#include "bpfd/elements.h"
#include "bpfd/notes.h"

/*
 * The verifier's log may be this long: before 6.4 what does not fit is lost
 * at the end, where the reason stands.  Only pages written to cost memory.
 */
#define LOG_SIZE ((16u << 20) - 4096)

static struct bpf_program *
program_at(const struct object *o, uint32_t index)
{
	struct bpf_program *p = NULL;

	do
		p = bpf_object__next_program(o->bpf, p);
	while (p != NULL && index-- > 0);
	return p;
}

static struct bpf_map *
map_at(const struct object *o, uint32_t index)
{
	struct bpf_map *m = NULL;

	do
		m = bpf_object__next_map(o->bpf, m);
	while (m != NULL && index-- > 0);
	return m;
}

static int
refuse_plan(struct object *o, const char *what, uint32_t index)
{
	return failure_set(o->failure, WORK_REFUSED, -EBADMSG,
	    "plan: %s %u is not the object's", what, index);
}

/* The plan's maps are the object's, in order, sizes and all. */
static int
compare_maps(struct object *o)
{
	const struct loadplan_map *want;
	struct bpf_map *m = NULL;
	uint32_t i;

	for (i = 0; i < o->plan->header->map_count; i++) {
		m = bpf_object__next_map(o->bpf, m);
		want = &o->plan->maps[i];
		if (m == NULL || strcmp(bpf_map__name(m), want->name) != 0 ||
		    (uint32_t)bpf_map__type(m) != want->type ||
		    bpf_map__key_size(m) != want->key_size ||
		    bpf_map__value_size(m) != want->value_size)
			return refuse_plan(o, "map", i);
		/* Custody is agentd's; nothing is left in a bpffs. */
		if (bpf_map__set_pin_path(m, NULL) < 0)
			return refuse_plan(o, "map", i);
	}
	if (bpf_object__next_map(o->bpf, m) != NULL)
		return refuse_plan(o, "map", i);
	return 0;
}

/* How the plan attaches program INDEX; -1 if it does not. */
static int
planned_kind(struct object *o, uint32_t index)
{
	const struct loadplan_attach *a;
	int kind = -1;
	uint32_t i;

	for (i = 0; i < o->plan->header->attach_count; i++) {
		a = &o->plan->attaches[i];
		if (a->prog != index)
			continue;
		if (kind >= 0 && (uint32_t)kind != a->kind)
			return failure_set(o->failure, WORK_REFUSED, -EINVAL,
			    "program \"%s\" cannot be attached both as %s and "
			    "as %s",
			    o->plan->progs[index].name,
			    attach_row((uint32_t)kind)->name,
			    attach_row(a->kind)->name);
		kind = (int)a->kind;
	}
	return kind;
}

static int
set_type(struct object *o, struct bpf_program *p, uint32_t index)
{
	const struct loadplan_prog *want = &o->plan->progs[index];
	uint32_t type = want->prog_type;
	enum bpf_attach_type expected;
	enum attach_kind by_section;
	const char *target;
	int kind;

	kind = planned_kind(o, index);
	if (kind < -1)
		return kind;
	/* Loaded only, of a section that is newer than this libbpf. */
	if (kind < 0 && type == BPF_PROG_TYPE_UNSPEC &&
	    attach_from_section(
		bpf_program__section_name(p), &by_section, &target) == 0)
		kind = (int)by_section;
	if (kind >= 0)
		type = attach_prog_type((uint32_t)kind);
	if (want->prog_type != BPF_PROG_TYPE_UNSPEC && type != want->prog_type)
		return failure_set(o->failure, WORK_REFUSED, -EINVAL,
		    "program \"%s\" (section \"%s\") is of a type that cannot "
		    "be attached as %s",
		    want->name, bpf_program__section_name(p),
		    attach_row((uint32_t)kind)->name);
	if (type != (uint32_t)bpf_program__type(p) &&
	    bpf_program__set_type(p, (enum bpf_prog_type)type) < 0)
		return refuse_plan(o, "program", index);
	if (kind < 0)
		return 0;
	expected = attach_expected_type((uint32_t)kind);
	if (expected != bpf_program__expected_attach_type(p) &&
	    bpf_program__set_expected_attach_type(p, expected) < 0)
		return refuse_plan(o, "program", index);
	return 0;
}

static int
set_target(struct object *o, struct bpf_program *p, uint32_t index)
{
	const struct loadplan_prog *want = &o->plan->progs[index];
	char symbol[AEGIS_TARGET_SIZE];
	int r;

	if (want->attach_target_len == 0)
		return 0;
	memcpy(symbol, o->plan->data + want->attach_target_off,
	    want->attach_target_len);
	symbol[want->attach_target_len] = '\0';
	r = bpf_program__set_attach_target(p, 0, symbol);
	/* EPERM: not in vmlinux, and modules may be searched by root only. */
	if (r == -ESRCH || r == -ENOENT || r == -EPERM)
		return failure_set(o->failure, WORK_REFUSED, r,
		    "program \"%s\": this kernel has no \"%s\" to attach to",
		    want->name, symbol);
	if (r < 0)
		return failure_set(o->failure, failure_kind(r), r,
		    "program \"%s\": cannot attach to \"%s\": %s", want->name,
		    symbol, strerror(-r));
	return 0;
}

static int
compare_programs(struct object *o)
{
	const struct loadplan_prog *want;
	struct bpf_program *p = NULL;
	uint32_t i;
	int r;

	for (i = 0; i < o->plan->header->prog_count; i++) {
		p = bpf_object__next_program(o->bpf, p);
		want = &o->plan->progs[i];
		if (p == NULL || strcmp(bpf_program__name(p), want->name) != 0)
			return refuse_plan(o, "program", i);
		if (bpf_program__set_autoload(p, want->autoload != 0) < 0)
			return refuse_plan(o, "program", i);
		if (!want->autoload)
			continue;
		r = set_type(o, p, i);
		if (r == 0)
			r = set_target(o, p, i);
		if (r < 0)
			return r;
	}
	if (bpf_object__next_program(o->bpf, p) != NULL)
		return refuse_plan(o, "program", i);
	return 0;
}

static int
write_globals(struct object *o)
{
	const struct loadplan_write *w;
	struct bpf_map *m;
	char *value;
	size_t size;
	uint32_t i;

	for (i = 0; i < o->plan->header->write_count; i++) {
		w = &o->plan->writes[i];
		if (w->kind != WRITE_INITIAL)
			continue;
		m = map_at(o, w->map);
		value =
		    m == NULL ? NULL : (char *)bpf_map__initial_value(m, &size);
		if (value == NULL || w->offset > size ||
		    w->value_len > size - w->offset)
			return failure_set(o->failure, WORK_REFUSED, -EBADMSG,
			    "plan: write %u is outside the global data of "
			    "\"%s\"",
			    i, o->plan->maps[w->map].name);
		memcpy(value + w->offset, o->plan->data + w->value_off,
		    w->value_len);
	}
	return 0;
}

int
object_open(struct object *o, const struct memfd_map *elf,
    const struct loadplan *plan, const struct kernel *k,
    struct failure *failure)
{
	struct bpf_object_open_opts opts = { .sz = sizeof(opts) };
	char btf_path[COREBTF_PATH_SIZE];
	struct notes notes;
	int r;

	memset(o, 0, sizeof(*o));
	o->plan = plan;
	o->failure = failure;
	o->log = mmap(NULL, LOG_SIZE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (o->log == MAP_FAILED) {
		o->log = NULL;
		return failure_set(failure, WORK_TRANSIENT, -ENOMEM,
		    "out of memory for the verifier's log");
	}
	o->log_size = LOG_SIZE;
	opts.object_name = plan->header->object_name;
	opts.kernel_log_buf = o->log;
	opts.kernel_log_size = o->log_size;
	notes_begin(NULL);
	/*
	 * Named outright, libbpf does not go on to look for types in modules'
	 * BTF, which only root may; a type that is absent stays absent, as
	 * bpf_core_type_exists() wants to know.
	 */
	if (k->has_btf && corebtf_find(k->corebtf, elf, btf_path))
		opts.btf_custom_path = btf_path;
	notes_begin(&notes);
	o->bpf = bpf_object__open_mem(elf->data, elf->len, &opts);
	if (o->bpf == NULL) {
		r = -errno;
		return failure_set(failure, failure_kind(r), r,
		    "program.o: libbpf cannot open it: %s (%s)",
		    notes.text[0] != '\0' ? notes.text : "no reason given",
		    strerror(-r));
	}
	r = compare_maps(o);
	if (r == 0)
		r = compare_programs(o);
	if (r == 0)
		r = write_globals(o);
	return r;
}

int
object_reuse_map(struct object *o, uint32_t index, int fd)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);
	struct bpf_map *m;

	m = map_at(o, index);
	if (m == NULL || bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return -EINVAL;
	if (info.type != (uint32_t)bpf_map__type(m) ||
	    info.key_size != bpf_map__key_size(m) ||
	    info.value_size != bpf_map__value_size(m) ||
	    info.max_entries != bpf_map__max_entries(m) ||
	    info.map_flags != bpf_map__map_flags(m))
		return -EINVAL;
	return bpf_map__reuse_fd(m, fd);
}

/* After libbpf's load failed: whose fault, and in which words. */
static int
explain(
    struct object *o, int r, const struct notes *notes, const struct kernel *k)
{
	const char *said =
	    notes->text[0] != '\0' ? notes->text : "no reason given";
	char reason[512];

	o->log[o->log_size - 1] = '\0';
	notes_log_reason(o->log, strlen(o->log), reason, sizeof(reason));
	if (reason[0] != '\0')
		return failure_set(o->failure, WORK_VERIFIER, r,
		    "the kernel's verifier refuses program \"%s\": %s (%s)",
		    notes->program, reason, strerror(-r));
	if (notes->program[0] != '\0' && (r == -EPERM || r == -EACCES))
		return failure_set(o->failure, WORK_REFUSED, r,
		    "the kernel refuses program \"%s\" (%s): %s",
		    notes->program, strerror(-r),
		    attach_refusal_hint(o->plan, notes->program, k));
	/* libbpf: "failed to find kernel BTF type ID of 'x': -1" */
	if (strstr(notes->text, "BTF type ID") != NULL)
		return failure_set(o->failure, WORK_REFUSED, r,
		    "this kernel has nothing of that name to attach to: %s",
		    said);
	return failure_set(o->failure, failure_kind(r), r,
	    "cannot load: %s (%s)", said, strerror(-r));
}

int
object_load(struct object *o, const struct kernel *k)
{
	struct notes notes;
	uint32_t i;
	int r;

	notes_begin(&notes);
	o->log[0] = '\0';
	r = bpf_object__load(o->bpf);
	if (r < 0)
		return explain(o, r, &notes, k);
	for (i = 0; i < o->plan->header->write_count; i++) {
		if (o->plan->writes[i].kind != WRITE_ELEMENT)
			continue;
		r = element_write(o->plan, i,
		    bpf_map__fd(map_at(o, o->plan->writes[i].map)), k->cpus,
		    o->failure);
		if (r < 0)
			return r;
	}
	return 0;
}

static int
duplicate(int fd)
{
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

int
object_dup_prog(const struct object *o, uint32_t index)
{
	struct bpf_program *p = program_at(o, index);

	return p == NULL ? -1 : duplicate(bpf_program__fd(p));
}

int
object_dup_map(const struct object *o, uint32_t index)
{
	struct bpf_map *m = map_at(o, index);

	return m == NULL ? -1 : duplicate(bpf_map__fd(m));
}

void
object_close(struct object *o)
{
	if (o->bpf != NULL)
		bpf_object__close(o->bpf);
	o->bpf = NULL;
	if (o->log != NULL)
		(void)munmap(o->log, o->log_size);
	o->log = NULL;
	notes_begin(NULL);
}
