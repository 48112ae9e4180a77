/* SPDX-License-Identifier: ISC */
#include "bpfd/load.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpfd/attach.h"
#include "bpfd/attach_probe.h"
#include "bpfd/clsact.h"
#include "bpfd/elements.h"
#include "bpfd/notes.h"
#include "bpfd/object.h"
#include "bpfd/place.h"
#include "bpfd/stats.h"
#include "common/clock.h"
#include "common/ifpattern.h"

static void
run(struct job *job, const struct kernel *k)
{
	load_run((struct load *)job, k);
}

struct load *
load_new(struct artifact *artifact)
{
	struct load *l;
	size_t i;

	l = calloc(1, sizeof(*l));
	if (l == NULL) {
		artifact_free(artifact);
		return NULL;
	}
	l->artifact = artifact;
	l->job.run = run;
	for (i = 0; i < nitems(l->old_maps); i++)
		l->old_maps[i] = -1;
	return l;
}

void
load_free(struct load *l)
{
	size_t i;

	if (l == NULL)
		return;
	for (i = 0; i < l->link_count; i++) {
		fd_close(&l->links[i].old_fd);
		fd_close(&l->links[i].old_prog_fd);
		fd_close(&l->links[i].fd);
	}
	free(l->links);
	for (i = 0; i < nitems(l->old_maps); i++)
		fd_close(&l->old_maps[i]);
	attach_perf_release(l);
	memfd_unmap(&l->elf);
	artifact_free(l->artifact);
	free(l->verifier_log);
	free(l);
}

struct load *
load_find(struct load_list *list, uint64_t id)
{
	struct load *l;

	TAILQ_FOREACH (l, list, pending) {
		if (l->artifact->id == id)
			return l;
	}
	return NULL;
}

struct load_link *
load_find_link(struct load *l, uint32_t attach, uint32_t ifindex)
{
	size_t i;

	for (i = 0; i < l->link_count; i++)
		if (l->links[i].attach == attach &&
		    l->links[i].place.ifindex == ifindex)
			return &l->links[i];
	return NULL;
}

struct load_link *
load_add_link(struct load *l, uint32_t attach, uint32_t ifindex)
{
	struct load_link *links, *link;

	if (l->link_count >= LOAD_MAX_LINKS)
		return NULL;
	links = reallocarray(l->links, l->link_count + 1, sizeof(*links));
	if (links == NULL)
		return NULL;
	l->links = links;
	link = &links[l->link_count++];
	memset(link, 0, sizeof(*link));
	link->attach = attach;
	link->place.ifindex = ifindex;
	link->old_fd = link->old_prog_fd = link->fd = -1;
	return link;
}

static void
keep_verifier_log(struct load *l, const struct object *o)
{
	size_t len, off;

	if (l->failure.result != WORK_VERIFIER || o->log == NULL)
		return;
	len = strnlen(o->log, o->log_size);
	off = notes_log_tail(o->log, len, AEGIS_VERIFIER_LOG);
	l->verifier_log = malloc(len - off > 0 ? len - off : 1);
	if (l->verifier_log == NULL)
		return; /* the reason is in the failure's text, too */
	memcpy(l->verifier_log, o->log + off, len - off);
	l->verifier_log_len = len - off;
}

/* Old maps whose declaration changed start empty; bpfd.c says so. */
static int
carry_maps(struct load *l, struct object *o)
{
	uint32_t i;
	int r;

	for (i = 0; i < l->artifact->plan.header->map_count; i++) {
		if (l->old_maps[i] < 0)
			continue;
		r = object_reuse_map(o, i, l->old_maps[i]);
		if (r == -EINVAL)
			l->emptied[i] = true;
		else if (r < 0)
			return failure_set(&l->failure, failure_kind(r), r,
			    "map \"%s\" cannot keep its contents: %s",
			    l->artifact->plan.maps[i].name, strerror(-r));
	}
	return 0;
}

/*
 * A version that comes back shares its carried maps with the one that had
 * replaced it: its own parameters go in again.
 */
static int
rewrite_carried(struct load *l, const struct kernel *k)
{
	const struct loadplan *plan = &l->artifact->plan;
	const struct loadplan_write *w;
	uint32_t i;
	int r = 0;

	for (i = 0; r == 0 && i < plan->header->write_count; i++) {
		w = &plan->writes[i];
		if (w->kind == WRITE_ELEMENT &&
		    plan->maps[w->map].flags & LOADPLAN_MAP_CARRY)
			r = element_write(plan, i, l->artifact->maps[w->map].fd,
			    k->cpus, &l->failure);
	}
	return r;
}

static int
collect(struct load *l, const struct object *o)
{
	struct artifact *a = l->artifact;
	uint32_t i;
	int r;

	for (i = 0; i < a->plan.header->prog_count; i++) {
		if (!a->plan.progs[i].autoload)
			continue;
		r = artifact_set_prog(a, i, object_dup_prog(o, i));
		if (r < 0)
			return failure_set(&l->failure, failure_kind(r), r,
			    "program \"%s\": cannot keep its descriptor (%s)",
			    a->plan.progs[i].name, strerror(-r));
	}
	for (i = 0; i < a->plan.header->map_count; i++) {
		r = artifact_set_map(a, i, object_dup_map(o, i));
		if (r < 0)
			return failure_set(&l->failure, failure_kind(r), r,
			    "map \"%s\": cannot keep its descriptor (%s)",
			    a->plan.maps[i].name, strerror(-r));
	}
	return 0;
}

static int
load_object(struct load *l, struct object *o, const struct kernel *k)
{
	int r;

	r = object_open(o, &l->elf, &l->artifact->plan, k, &l->failure);
	if (r == 0)
		r = carry_maps(l, o);
	if (r == 0)
		r = object_load(o, k);
	if (r == 0)
		r = collect(l, o);
	keep_verifier_log(l, o);
	return r;
}

/*
 * One of the interfaces of a pattern that cannot have the program does not
 * keep it from the others: agentd sees what is missing, tries that one by
 * itself, and reports it.
 */
static bool
can_wait(const struct load *l, const struct load_link *link)
{
	return link->place.ifindex != 0 &&
	    ifpattern_is_glob(l->artifact->plan.attaches[link->attach].target);
}

static int
attach_one(struct load *l, struct load_link *link, const struct kernel *k,
    struct failure *f)
{
	const struct loadplan_attach *a =
	    &l->artifact->plan.attaches[link->attach];
	uint32_t prog_id;
	int r;

	if (clsact_is_meant(a, k))
		return clsact_attach(k, a, &link->place,
		    l->artifact->progs[a->prog].fd, &link->filter, f);
	link->fd = attach_create(&l->artifact->plan, link->attach, &link->place,
	    l->artifact->progs[a->prog].fd, k,
	    (l->beside >> link->attach & 1) != 0, f);
	if (link->fd < 0) {
		r = link->fd;
		link->fd = -1;
		return r;
	}
	r = attach_link_info(link->fd, &link->link_id, &prog_id);
	if (r < 0)
		return failure_set(f, failure_kind(r), r,
		    "attachment %u: no link information (%s)", link->attach,
		    strerror(-r));
	return 0;
}

/* Programs that attach anew, all of them before the first replacement. */
static int
attach_new(struct load *l, const struct kernel *k)
{
	struct load_link *link;
	struct failure none;
	size_t i;
	int r;

	for (i = 0; i < l->link_count; i++) {
		link = &l->links[i];
		if (link->old_fd >= 0 || link->old_filter.handle != 0)
			continue;
		if (can_wait(l, link)) {
			memset(&none, 0, sizeof(none));
			(void)attach_one(l, link, k, &none);
			continue;
		}
		r = attach_one(l, link, k, &l->failure);
		if (r == -EBUSY || r == -EEXIST)
			l->busy = link;
		if (r < 0)
			return r;
	}
	return 0;
}

/* One link or filter of the replaced artifact runs that program from now. */
static int
swap(struct load_link *link, int prog_fd, const struct kernel *k)
{
	if (link->old_filter.handle != 0)
		return clsact_replace(k, &link->old_filter, prog_fd);
	return bpf_link_update(link->old_fd, prog_fd, NULL) < 0 ? -errno : 0;
}

/* Put the old programs back where they had been replaced already. */
static void
restore_old(struct load *l, const struct kernel *k)
{
	const struct loadplan *plan = &l->artifact->plan;
	struct load_link *link;
	size_t i;

	for (i = 0; i < l->link_count; i++) {
		link = &l->links[i];
		if (!link->updated)
			continue;
		if (link->old_prog_fd >= 0 &&
		    swap(link, link->old_prog_fd, k) == 0) {
			link->updated = false;
			continue;
		}
		failure_add(&l->failure,
		    "attachment %u (%s) runs the new program and could not be "
		    "given the old one back",
		    link->attach,
		    attach_row(plan->attaches[link->attach].kind)->name);
	}
}

/*
 * Swap programs in the links of the replaced artifact.  Last, because it
 * cannot fail half-way without the old program having been away.
 */
static int
update_links(struct load *l, const struct kernel *k)
{
	const struct loadplan *plan = &l->artifact->plan;
	const struct loadplan_attach *a;
	struct load_link *link;
	size_t i;
	int r;

	for (i = 0; i < l->link_count; i++) {
		link = &l->links[i];
		a = &plan->attaches[link->attach];
		if (link->old_fd < 0 && link->old_filter.handle == 0)
			continue;
		r = swap(link, l->artifact->progs[a->prog].fd, k);
		if (r < 0) {
			/* Its interface went meanwhile. */
			if ((r == -ENOLINK || r == -ENOENT) &&
			    can_wait(l, link))
				continue;
			return failure_set(&l->failure, failure_kind(r), r,
			    "%s: cannot swap the program attached to \"%s\": "
			    "%s",
			    attach_row(a->kind)->name, a->target, strerror(-r));
		}
		link->updated = true;
	}
	return 0;
}

/* Nothing of it stays attached. */
static void
detach_new(struct load *l, const struct kernel *k)
{
	struct tc_filter *filter;
	size_t i;
	int r;

	/* Backwards: the first one may have made the qdisc. */
	for (i = l->link_count; i-- > 0;) {
		fd_close(&l->links[i].fd);
		filter = &l->links[i].filter;
		r = filter->handle == 0 ? 0 : clsact_detach(k, filter);
		if (r < 0 && r != -ENOENT)
			failure_add(&l->failure,
			    "its tc filter on \"%s\", priority %u, handle "
			    "0x%x, cannot be removed: %s",
			    l->links[i].place.interface, filter->priority,
			    filter->handle, strerror(-r));
		filter->handle = 0;
	}
	attach_perf_release(l);
}

static int
load_attach(struct load *l, const struct kernel *k)
{
	int64_t start = clock_boot_ns();
	int r;

	r = place_plan(l, k);
	if (r == 0)
		r = attach_new(l, k);
	if (r == 0)
		r = attach_perf_create(l);
	if (r == 0)
		r = update_links(l, k);
	if (r < 0) {
		restore_old(l, k);
		detach_new(l, k);
	}
	l->attach_us = (uint64_t)(clock_boot_ns() - start) / 1000;
	return r;
}

void
load_run(struct load *l, const struct kernel *k)
{
	const struct loadplan *plan = &l->artifact->plan;
	int64_t start = clock_boot_ns();
	struct object o = { 0 };
	int r;

	if (l->failure.result != WORK_OK) /* it came damaged */
		return;
	r = attach_check(plan, k, &l->failure);
	if (r == 0)
		r = stats_check(plan, k->cpus, &l->failure);
	if (r == 0)
		r = l->kept ? rewrite_carried(l, k) : load_object(l, &o, k);
	l->load_us = (uint64_t)(clock_boot_ns() - start) / 1000;
	if (r == 0 && !l->attach_nothing)
		r = load_attach(l, k);
	/* Nothing waits for this: the programs are attached. */
	object_close(&o);
	if (r == 0 && !l->attach_nothing)
		stats_measure(l->artifact, k);
}
