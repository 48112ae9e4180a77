/* SPDX-License-Identifier: ISC */
#include "agentd/custody.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/attach.h"
#include "common/ifpattern.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/strnum.h"

struct custody *
custody_new(void)
{
	struct custody *c = calloc(1, sizeof(*c));
	size_t i;

	if (c == NULL)
		fatal("out of memory");
	c->bytes = c->object = c->plan = c->effective = c->verifier_log = -1;
	for (i = 0; i < nitems(c->progs); i++)
		c->progs[i] = -1;
	for (i = 0; i < nitems(c->maps); i++)
		c->maps[i] = -1;
	return c;
}

int
custody_set_plan(struct custody *c, int plan, const char **what)
{
	int r;

	fd_close(&c->plan);
	memfd_unmap(&c->plan_map);
	memset(&c->loadplan, 0, sizeof(c->loadplan));
	c->plan = plan;
	*what = "not a sealed memfd of a plan's size";
	r = memfd_map(plan, AEGIS_PLAN_MAX, &c->plan_map);
	if (r == 0)
		r = loadplan_check(
		    c->plan_map.data, c->plan_map.len, &c->loadplan, what);
	if (r < 0) {
		memfd_unmap(&c->plan_map);
		memset(&c->loadplan, 0, sizeof(c->loadplan));
		fd_close(&c->plan);
	}
	return r;
}

void
custody_exchange_files(struct custody *a, struct custody *b)
{
	const struct custody kept = *a;

	a->object = b->object;
	a->plan = b->plan;
	a->effective = b->effective;
	a->plan_map = b->plan_map;
	a->loadplan = b->loadplan;
	b->object = kept.object;
	b->plan = kept.plan;
	b->effective = kept.effective;
	b->plan_map = kept.plan_map;
	b->loadplan = kept.loadplan;
}

void
custody_release_files(struct custody *c)
{
	fd_close(&c->bytes);
	fd_close(&c->object);
	fd_close(&c->plan);
	memfd_unmap(&c->plan_map);
	memset(&c->loadplan, 0, sizeof(c->loadplan));
}

int
custody_add_link(struct custody *c, uint32_t attach, uint32_t ifindex,
    const char *interface, int fd, uint32_t link_id)
{
	_cleanup_fd_ int owned = fd;
	struct custody_link *links, *link;

	if (custody_find_link(c, attach, ifindex) != NULL)
		return -EEXIST;
	if (c->link_count >= CUSTODY_MAX_LINKS)
		return -E2BIG;
	links = reallocarray(c->links, c->link_count + 1, sizeof(*links));
	if (links == NULL)
		fatal("out of memory");
	c->links = links;
	link = &links[c->link_count++];
	memset(link, 0, sizeof(*link));
	link->attach = attach;
	link->ifindex = ifindex;
	str_copy_cut(link->interface, sizeof(link->interface), interface);
	link->fd = fd_steal(&owned);
	link->link_id = link_id;
	link->offered = link->taken_from = UINT32_MAX;
	return 0;
}

int
custody_add_filter(struct custody *c, uint32_t attach, const char *interface,
    const struct tc_filter *filter)
{
	int r = custody_add_link(c, attach, filter->ifindex, interface, -1, 0);

	if (r == 0)
		c->links[c->link_count - 1].filter = *filter;
	return r;
}

bool
custody_link_is_held(const struct custody_link *link)
{
	return link->fd >= 0 || link->filter.handle != 0;
}

struct custody_link *
custody_find_link(const struct custody *c, uint32_t attach, uint32_t ifindex)
{
	size_t i;

	for (i = 0; i < c->link_count; i++)
		if (c->links[i].attach == attach &&
		    c->links[i].ifindex == ifindex)
			return &c->links[i];
	return NULL;
}

bool
custody_is_complete(const struct custody *c)
{
	const struct loadplan *plan = &c->loadplan;
	bool has[LOADPLAN_MAX_ATTACHES] = { false };
	size_t i;

	for (i = 0; i < c->link_count; i++)
		if (custody_link_is_held(&c->links[i]))
			has[c->links[i].attach] = true;
	for (i = 0; i < plan->header->attach_count; i++)
		if (!has[i] &&
		    (attach_row(plan->attaches[i].kind)->target !=
			    TARGET_INTERFACE ||
			!ifpattern_is_glob(plan->attaches[i].target)))
			return false;
	return true;
}

bool
custody_is_kept(const struct custody *c)
{
	uint32_t i;

	if (c->loadplan.header == NULL || c->object < 0)
		return false;
	for (i = 0; i < c->loadplan.header->prog_count; i++)
		if (c->loadplan.progs[i].autoload && c->progs[i] < 0)
			return false;
	for (i = 0; i < c->loadplan.header->map_count; i++)
		if (c->maps[i] < 0)
			return false;
	return true;
}

int
custody_carried_map(
    const struct custody *new, uint32_t index, const struct custody *old)
{
	const struct loadplan_map *m = &new->loadplan.maps[index];
	uint32_t i;

	if (!(m->flags & LOADPLAN_MAP_CARRY) || old->loadplan.header == NULL)
		return -1;
	for (i = 0; i < old->loadplan.header->map_count; i++)
		if (strcmp(old->loadplan.maps[i].name, m->name) == 0)
			return old->maps[i];
	return -1;
}

/* The record leaves C; its descriptor is the caller's. */
static void
remove_link(struct custody *c, struct custody_link *link)
{
	size_t after = c->link_count - 1 - (size_t)(link - c->links);

	memmove(link, link + 1, after * sizeof(*link));
	c->link_count--;
}

/*
 * XDP in a mode of one's own wants a link of that mode; "auto" goes on in
 * whatever the old one has, without a gap.
 */
static bool
flags_fit(uint32_t wanted, uint32_t has)
{
	const uint32_t modes = LOADPLAN_XDP_SKB | LOADPLAN_XDP_DRV;

	if ((wanted & modes) == 0)
		has &= ~modes;
	return wanted == has;
}

/* Can attachment NEW go on where LINK, of attachment OLD, is? */
static bool
can_take_over(const struct loadplan_attach *new,
    const struct loadplan_attach *old, const struct custody_link *link)
{
	const struct attach_row *row = attach_row(new->kind);

	if (row == NULL || !row->link_update || new->kind != old->kind ||
	    !flags_fit(new->flags, old->flags) ||
	    new->priority != old->priority)
		return false;
	if (link->ifindex == 0)
		return strcmp(new->target, old->target) == 0;
	/* What the old one meant is where it is; loopback or not. */
	return strcmp(new->target, old->target) == 0 ||
	    ifpattern_matches(new->target, link->interface,
		strcmp(link->interface, "lo") == 0);
}

/* Has attachment I of the new one got one there? */
static bool
is_served(const struct custody *old, uint32_t i, uint32_t ifindex)
{
	size_t j;

	for (j = 0; j < old->link_count; j++)
		if (old->links[j].offered == i &&
		    old->links[j].ifindex == ifindex)
			return true;
	return false;
}

unsigned int
custody_match(const struct custody *new, struct custody *old)
{
	const struct loadplan *plan = &new->loadplan;
	struct custody_link *link;
	unsigned int n = 0;
	uint32_t i;
	size_t j;

	for (j = 0; j < old->link_count; j++)
		old->links[j].offered = UINT32_MAX;
	if (plan->header == NULL || old->loadplan.header == NULL)
		return 0;
	for (i = 0; i < plan->header->attach_count; i++) {
		for (j = 0; j < old->link_count; j++) {
			link = &old->links[j];
			if (link->offered != UINT32_MAX ||
			    !custody_link_is_held(link) ||
			    is_served(old, i, link->ifindex) ||
			    !can_take_over(&plan->attaches[i],
				&old->loadplan.attaches[link->attach], link))
				continue;
			link->offered = i;
			n++;
		}
	}
	return n;
}

/* LINK, of another custody, becomes one of C's. */
static int
move_link(struct custody *c, uint32_t attach, const struct custody_link *link)
{
	int r = custody_add_link(
	    c, attach, link->ifindex, link->interface, link->fd, link->link_id);

	if (r == 0)
		c->links[c->link_count - 1].filter = link->filter;
	return r;
}

int
custody_take_over(
    struct custody *new, struct custody *old, uint32_t attach, uint32_t ifindex)
{
	struct custody_link *link, *moved;
	size_t i;
	int r;

	if (attach >= new->loadplan.header->attach_count)
		return -EINVAL;
	for (i = 0; i < old->link_count; i++) {
		link = &old->links[i];
		if (link->offered != attach || link->ifindex != ifindex)
			continue;
		r = move_link(new, attach, link);
		if (r == 0) {
			moved = &new->links[new->link_count - 1];
			moved->taken_from = link->attach;
			/* It runs the new one's program now. */
			moved->filter.prog_id =
			    new->prog_ids[new->loadplan.attaches[attach].prog];
		}
		remove_link(old, link);
		return r < 0 ? -EINVAL : 0;
	}
	return -EINVAL;
}

void
custody_drop_link(
    struct custody *c, struct custody_link *link, struct closer *closer)
{
	closer_close_link(closer, link);
	remove_link(c, link);
}

void
custody_withdraw(struct custody *old)
{
	size_t i;

	for (i = 0; i < old->link_count; i++)
		old->links[i].offered = UINT32_MAX;
}

void
custody_give_back(struct custody *new, struct custody *old)
{
	struct custody_link *link;
	size_t i = 0;
	int r;

	while (i < new->link_count) {
		link = &new->links[i];
		if (link->taken_from == UINT32_MAX) {
			i++;
			continue;
		}
		r = move_link(old, link->taken_from, link);
		if (r < 0) /* cannot be: it came from there */
			log_error("a link went lost: %s", strerror(-r));
		remove_link(new, link);
	}
}

void
custody_free(struct custody *c, struct closer *closer)
{
	if (c == NULL)
		return;
	closer_close(closer, c, 0);
	free(c->links);
	probes_free(&c->probes);
	custody_release_files(c);
	fd_close(&c->effective);
	fd_close(&c->verifier_log);
	free(c);
}
