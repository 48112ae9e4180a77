/* SPDX-License-Identifier: ISC */
#include "bpfd/update.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bpfd/elements.h"
#include "bpfd/kernel.h"
#include "bpfd/plandiff.h"

/* What an element was, to be put back. */
struct before {
	bool was_there;
	uint8_t *value; /* as the system call has it */
};

/* Global variables of one map, seen by the program as they are written. */
struct globals {
	uint32_t map;
	uint8_t *seen; /* mapped shared, LEN bytes */
	size_t len;
	struct plandiff_globals from, to;
};

struct change {
	const struct artifact *running; /* descriptors */
	const struct loadplan *from, *to;
	int cpus;
	struct plandiff_element *elements;
	size_t count, done;
	struct before *before;
	struct globals *globals;
	size_t globals_count;
	struct msg_update_done *answer;
};

static int _printf_(3, 4) give_up(struct change *c, int r, const char *fmt, ...)
{
	va_list ap;

	if (c->answer->error[0] != '\0')
		return r; /* the first reason is the one */
	va_start(ap, fmt);
	(void)vsnprintf(c->answer->error, sizeof(c->answer->error), fmt, ap);
	va_end(ap);
	return r;
}

/* ---- elements ---- */

static bool
has_all_elements(uint32_t map_type)
{
	return map_type == BPF_MAP_TYPE_ARRAY ||
	    map_type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

/*
 * An LPM trie answers with the longest prefix that matches, not with the
 * element asked for: there the old plan says what was there.
 */
static int
look(struct change *c, const struct plandiff_element *e, struct before *b)
{
	const struct loadplan_map *m = &c->from->maps[e->map];

	b->value = element_expand(
	    m, m->type == BPF_MAP_TYPE_LPM_TRIE ? e->old : NULL, c->cpus);
	if (b->value == NULL)
		return -ENOMEM;
	b->was_there = e->old != NULL;
	if (m->type == BPF_MAP_TYPE_LPM_TRIE)
		return 0;
	b->was_there = bpf_map_lookup_elem(
			   c->running->maps[e->map].fd, e->key, b->value) == 0;
	return b->was_there || errno == ENOENT ? 0 : -errno;
}

static int
set(struct change *c, const struct plandiff_element *e, const uint8_t *value)
{
	int fd = c->running->maps[e->map].fd;

	if (value != NULL)
		return bpf_map_update_elem(fd, e->key, value, BPF_ANY) == 0
		    ? 0
		    : -errno;
	return bpf_map_delete_elem(fd, e->key) == 0 || errno == ENOENT ? 0
								       : -errno;
}

static int
change_element(struct change *c, size_t i)
{
	const struct plandiff_element *e = &c->elements[i];
	const struct loadplan_map *m = &c->from->maps[e->map];
	_cleanup_free_ uint8_t *value = NULL;
	int r;

	if (!element_is_writable(m->type))
		return give_up(c, -EINVAL,
		    "map \"%s\": no elements can be written into it", m->name);
	/* An array's element cannot go: it is what it was at first. */
	if (e->value != NULL || has_all_elements(m->type)) {
		value = element_expand(m, e->value, c->cpus);
		if (value == NULL)
			return give_up(c, -ENOMEM, "out of memory");
	}
	r = look(c, e, &c->before[i]);
	if (r == 0)
		r = set(c, e, value);
	if (r < 0)
		return give_up(
		    c, r, "map \"%s\": %s", m->name, element_reason(-r));
	return 0;
}

static int
put_back(struct change *c)
{
	const struct before *b;
	int r = 0, failed = 0;

	while (c->done > 0) {
		b = &c->before[--c->done];
		r = set(
		    c, &c->elements[c->done], b->was_there ? b->value : NULL);
		if (r < 0)
			failed = r;
	}
	return failed;
}

/* ---- global variables ---- */

static bool
has_globals(const struct loadplan *plan, uint32_t map)
{
	uint32_t i;

	for (i = 0; i < plan->header->write_count; i++)
		if (plan->writes[i].kind == WRITE_INITIAL &&
		    plan->writes[i].map == map)
			return true;
	return false;
}

/* Can they be written while the program runs?  Constants cannot. */
static int
map_globals(struct change *c, struct globals *g)
{
	const struct loadplan_map *m = &c->from->maps[g->map];
	int fd = c->running->maps[g->map].fd;
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return give_up(c, -errno, "map \"%s\": no information: %s",
		    m->name, strerror(errno));
	if (info.map_flags & BPF_F_RDONLY_PROG)
		return give_up(c, -EROFS,
		    "\"%s\" holds constants that the program was verified with",
		    m->name);
	if (!(info.map_flags & BPF_F_MMAPABLE))
		return give_up(c, -EOPNOTSUPP,
		    "\"%s\" cannot be mapped on this kernel", m->name);
	g->len = info.value_size;
	g->seen = mmap(NULL, g->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (g->seen == MAP_FAILED) {
		g->seen = NULL;
		return give_up(
		    c, -errno, "\"%s\": %s", m->name, strerror(errno));
	}
	return 0;
}

static int
prepare_globals(struct change *c, uint32_t map)
{
	const struct loadplan_map *m = &c->from->maps[map];
	struct globals *g = &c->globals[c->globals_count++];
	int r;

	g->map = map;
	r = plandiff_globals(c->from, map, &g->from);
	if (r == 0)
		r = plandiff_globals(c->to, map, &g->to);
	if (r < 0)
		return give_up(c, r, "\"%s\": %s", m->name, strerror(-r));
	/* What one of both leaves to the object only the object knows. */
	if (memcmp(g->from.written, g->to.written, m->value_size) != 0)
		return give_up(c, -ENODATA,
		    "\"%s\": not the same variables as before", m->name);
	if (memcmp(g->from.value, g->to.value, m->value_size) == 0)
		return 0;
	return map_globals(c, g);
}

/* One variable; of usual sizes the program never sees a half. */
static void
store(uint8_t *to, const uint8_t *from, size_t len)
{
	uint64_t v8;
	uint32_t v4;
	uint16_t v2;

	if (len == sizeof(v8) && (uintptr_t)to % sizeof(v8) == 0) {
		memcpy(&v8, from, len);
		__atomic_store_n((uint64_t *)(void *)to, v8, __ATOMIC_RELAXED);
	} else if (len == sizeof(v4) && (uintptr_t)to % sizeof(v4) == 0) {
		memcpy(&v4, from, len);
		__atomic_store_n((uint32_t *)(void *)to, v4, __ATOMIC_RELAXED);
	} else if (len == sizeof(v2) && (uintptr_t)to % sizeof(v2) == 0) {
		memcpy(&v2, from, len);
		__atomic_store_n((uint16_t *)(void *)to, v2, __ATOMIC_RELAXED);
	} else {
		memcpy(to, from, len);
	}
}

/* The variables that differ, whole; others are the program's by now. */
static void
write_globals(const struct change *c, const struct globals *g)
{
	const struct loadplan_write *w;
	uint32_t i;

	if (g->seen == NULL)
		return;
	for (i = 0; i < c->to->header->write_count; i++) {
		w = &c->to->writes[i];
		if (w->kind != WRITE_INITIAL || w->map != g->map ||
		    memcmp(g->from.value + w->offset, g->to.value + w->offset,
			w->value_len) == 0)
			continue;
		store(
		    g->seen + w->offset, g->to.value + w->offset, w->value_len);
	}
}

/* ---- all of it ---- */

static void
release(struct change *c)
{
	size_t i;

	for (i = 0; c->before != NULL && i < c->count; i++)
		free(c->before[i].value);
	for (i = 0; i < c->globals_count; i++) {
		plandiff_globals_free(&c->globals[i].from);
		plandiff_globals_free(&c->globals[i].to);
		if (c->globals[i].seen != NULL)
			(void)munmap(c->globals[i].seen, c->globals[i].len);
	}
	free(c->globals);
	free(c->before);
	free(c->elements);
}

/* All that can fail but the writing itself. */
static int
prepare(struct change *c)
{
	uint32_t i;
	int r;

	c->globals =
	    calloc(c->from->header->map_count + 1, sizeof(*c->globals));
	if (c->globals == NULL)
		return give_up(c, -ENOMEM, "out of memory");
	for (i = 0; i < c->from->header->map_count; i++) {
		if (!has_globals(c->from, i) && !has_globals(c->to, i))
			continue;
		r = prepare_globals(c, i);
		if (r < 0)
			return r;
	}
	r = plandiff_elements(c->from, c->to, &c->elements, &c->count);
	if (r == 0)
		c->before = calloc(c->count + 1, sizeof(*c->before));
	if (c->before == NULL)
		return give_up(c, -ENOMEM, "out of memory");
	return 0;
}

/* From the values of one plan to those of the other: all, or none. */
static int
change_values(struct change *c)
{
	size_t i;
	int r;

	r = prepare(c);
	while (r == 0 && c->done < c->count) {
		r = change_element(c, c->done);
		c->done += r == 0;
	}
	if (r == 0)
		for (i = 0; i < c->globals_count; i++)
			write_globals(c, &c->globals[i]);
	else if (put_back(c) < 0)
		c->answer->mixed = 1;
	release(c);
	return r;
}

static void
run(struct job *job, const struct kernel *k)
{
	struct update_job *u = (struct update_job *)job;
	struct change c = {
		.running = u->running,
		.from = &u->running->plan,
		.to = &u->wanted->plan,
		.cpus = k->cpus,
		.answer = &u->answer,
	};
	const char *what = plandiff_shape(c.from, c.to);
	int r;

	if (what != NULL) {
		(void)give_up(&c, -EINVAL, "%s", what);
		return;
	}
	if (!u->take_back) {
		u->answer.in_place = change_values(&c) == 0;
		return;
	}
	c.from = &u->wanted->plan;
	c.to = &u->running->plan;
	r = change_values(&c);
	/* What cannot be written at all was not written then. */
	if (r < 0 && r != -EROFS && r != -EOPNOTSUPP && r != -ENODATA)
		u->answer.mixed = 1;
	else if (r == 0)
		(void)give_up(&c, 0, "a loader died over this change before");
}

struct update_job *
update_job_new(struct artifact *running, uint64_t id,
    const struct msg_update_plan *msg, int fd, int *r, const char **what)
{
	struct update_job *u;

	*r = -EINVAL;
	*what = "another change of it is under way";
	if (running->updating)
		return NULL;
	*r = -ENOMEM;
	*what = "out of memory";
	u = calloc(1, sizeof(*u));
	if (u == NULL)
		return NULL;
	u->wanted = artifact_new(id, running->artifact_id);
	if (u->wanted != NULL)
		*r = artifact_set_plan(u->wanted, fd, what);
	if (*r < 0) {
		update_job_free(u);
		return NULL;
	}
	u->job.run = run;
	u->id = id;
	u->running = running;
	u->take_back = msg->take_back != 0;
	running->updating = true;
	return u;
}

void
update_job_free(struct update_job *u)
{
	artifact_free(u->wanted);
	free(u);
}

void
update_job_take_plan(struct update_job *u)
{
	struct memfd_map bytes = u->running->plan_bytes;
	struct loadplan plan = u->running->plan;

	u->running->plan_bytes = u->wanted->plan_bytes;
	u->running->plan = u->wanted->plan;
	u->wanted->plan_bytes = bytes;
	u->wanted->plan = plan;
}
