/* SPDX-License-Identifier: ISC */
#include "bpfd/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "bpfd/clsact.h"
#include "bpfd/netdev.h"
#include "common/clock.h"
#include "common/ifpattern.h"

/* ---- of a load ---- */

static int
want(struct load *l, uint32_t attach, const struct place *place,
    const struct kernel *k)
{
	struct load_link *link = load_find_link(l, attach, place->ifindex);

	if (link == NULL)
		link = load_add_link(l, attach, place->ifindex);
	if (link == NULL)
		return failure_set(&l->failure, WORK_REFUSED, -E2BIG,
		    "more than %d attachments, interfaces that match counted "
		    "one by one",
		    LOAD_MAX_LINKS);
	link->place = *place;
	link->wanted = true;
	/* It went while it was handed over: nothing is there to swap. */
	if (link->old_fd >= 0 && attach_link_is_dead(link->old_fd))
		fd_close(&link->old_fd);
	if (link->old_filter.handle != 0 &&
	    clsact_look_ours(k, &link->old_filter) < 0)
		link->old_filter.handle = 0;
	return 0;
}

static int
want_matching(struct load *l, uint32_t attach, const struct netdev *interfaces,
    const struct kernel *k)
{
	const char *pattern = l->artifact->plan.attaches[attach].target;
	const struct iface *i;
	struct place place;
	size_t n;
	int r = 0;

	for (n = 0; n < interfaces->count && r == 0; n++) {
		i = &interfaces->list[n];
		if (!ifpattern_matches(
			pattern, i->name, i->flags & IFACE_LOOPBACK))
			continue;
		place.ifindex = i->ifindex;
		memcpy(place.interface, i->name, sizeof(place.interface));
		r = want(l, attach, &place, k);
	}
	return r;
}

static int
want_one(struct load *l, uint32_t attach, const struct kernel *k)
{
	const struct loadplan_attach *a = &l->artifact->plan.attaches[attach];
	struct place place = { 0 };
	int r;

	if (attach_row(a->kind)->target == TARGET_INTERFACE) {
		r = attach_find_interface(a, k, &l->failure);
		if (r < 0)
			return r;
		place.ifindex = (uint32_t)r;
		str_copy_cut(
		    place.interface, sizeof(place.interface), a->target);
	}
	return want(l, attach, &place, k);
}

/* Links that nobody wants: agentd keeps and closes its own copies. */
static void
drop_unwanted(struct load *l)
{
	size_t i, kept = 0;

	for (i = 0; i < l->link_count; i++) {
		if (l->links[i].wanted) {
			l->links[kept++] = l->links[i];
			continue;
		}
		fd_close(&l->links[i].old_fd);
		fd_close(&l->links[i].old_prog_fd);
	}
	l->link_count = kept;
}

int
place_plan(struct load *l, const struct kernel *k)
{
	const struct loadplan *plan = &l->artifact->plan;
	struct netdev interfaces = { .fd = -1 };
	const struct loadplan_attach *a;
	bool listed = false;
	uint32_t i;
	int r = 0;

	for (i = 0; i < plan->header->attach_count && r == 0; i++) {
		a = &plan->attaches[i];
		if (attach_row(a->kind)->method == METHOD_PERF)
			continue; /* by its events: attach_probe.h */
		if (attach_row(a->kind)->target != TARGET_INTERFACE ||
		    !ifpattern_is_glob(a->target)) {
			r = want_one(l, i, k);
			continue;
		}
		if (!listed) {
			interfaces.fd = k->netdev_fd;
			/* An answer to an earlier list is none. */
			interfaces.seq = (uint32_t)clock_boot_ns();
			r = netdev_list(&interfaces);
			if (r < 0)
				(void)failure_set(&l->failure, WORK_TRANSIENT,
				    r, "%s: cannot list the interfaces (%s)",
				    attach_row(a->kind)->name, strerror(-r));
			listed = true;
		}
		if (r == 0)
			r = want_matching(l, i, &interfaces, k);
	}
	interfaces.fd = -1; /* the kernel's, for the next load */
	netdev_close(&interfaces);
	if (r == 0)
		drop_unwanted(l);
	return r;
}

/* ---- of a running artifact ---- */

static void
run(struct job *job, const struct kernel *k)
{
	struct place_job *p = (struct place_job *)job;
	const struct loadplan plan = { .attaches = &p->attach };
	struct failure failure = { 0 };
	uint32_t prog_id;
	int r;

	if (clsact_is_meant(&p->attach, k))
		r = clsact_attach(k, &p->attach, &p->place, p->prog_fd,
		    &p->answer.filter, &failure);
	else
		r = p->link_fd = attach_create(
		    &plan, 0, &p->place, p->prog_fd, k, false, &failure);
	if (p->link_fd >= 0)
		r = attach_link_info(p->link_fd, &p->answer.link_id, &prog_id);
	if (r == 0)
		return;
	fd_close(&p->link_fd);
	p->answer.result = failure.result != WORK_OK
	    ? (uint32_t)failure.result
	    : (uint32_t)failure_kind(r);
	p->answer.holder_id = failure.holder_id;
	p->answer.gone = r == -ENODEV || r == -ENOENT;
	str_copy_cut(p->answer.error, sizeof(p->answer.error),
	    failure.text[0] != '\0' ? failure.text : strerror(-r));
}

struct place_job *
place_job_new(
    const struct artifact *a, const struct msg_link_attach *msg, int *r)
{
	const struct loadplan_attach *attach;
	struct place_job *p;

	*r = -EINVAL;
	if (msg->attach >= a->plan.header->attach_count)
		return NULL;
	attach = &a->plan.attaches[msg->attach];
	if ((attach_row(attach->kind)->target == TARGET_INTERFACE) !=
		(msg->ifindex != 0) ||
	    !str_is_terminated(msg->interface, sizeof(msg->interface)) ||
	    a->progs[attach->prog].fd < 0)
		return NULL;
	/* Others are not detached but by closing them. */
	if (attach_row(attach->kind)->method != METHOD_LINK_IFINDEX &&
	    attach_row(attach->kind)->method != METHOD_LINK_CGROUP &&
	    attach_row(attach->kind)->method != METHOD_LINK_NETNS)
		return NULL;
	*r = -ENOMEM;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	p->job.run = run;
	p->id = a->id;
	p->attach = *attach;
	p->place.ifindex = msg->ifindex;
	memcpy(p->place.interface, msg->interface, sizeof(p->place.interface));
	p->link_fd = -1;
	p->prog_fd = fcntl(a->progs[attach->prog].fd, F_DUPFD_CLOEXEC, 0);
	p->answer.attach = msg->attach;
	p->answer.ifindex = msg->ifindex;
	if (p->prog_fd == -1) {
		*r = -errno;
		place_job_free(p);
		return NULL;
	}
	*r = 0;
	return p;
}

void
place_job_free(struct place_job *p)
{
	fd_close(&p->link_fd);
	fd_close(&p->prog_fd);
	free(p);
}
