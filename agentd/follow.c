/* SPDX-License-Identifier: ISC */
#include "agentd/follow.h"

#include <string.h>

#include "common/attach.h"
#include "common/ifpattern.h"

/* The second time somebody means it. */
#define REPAIRS_MAX 1

static bool
is_meant(const struct loadplan_attach *a, const struct iface *i)
{
	return attach_row(a->kind)->target == TARGET_INTERFACE &&
	    ifpattern_matches(a->target, i->name, i->flags & IFACE_LOOPBACK);
}

const struct iface *
follow_find(const struct follow *f, uint32_t ifindex)
{
	size_t i;

	for (i = 0; i < f->count; i++)
		if (f->list[i].ifindex == ifindex)
			return &f->list[i];
	return NULL;
}

enum follow_verdict
follow_judge(
    const struct follow *f, const struct custody *c, struct custody_link *link)
{
	const struct iface *i;

	if (link->interface[0] == '\0' || link->generation >= f->generation)
		return FOLLOW_STAYS;
	i = follow_find(f, link->ifindex);
	if (i == NULL || !is_meant(&c->loadplan.attaches[link->attach], i))
		return FOLLOW_ENDS;
	memcpy(link->interface, i->name, sizeof(link->interface));
	return FOLLOW_STAYS;
}

const struct iface *
follow_missing(const struct follow *f, const struct custody *c,
    uint32_t *attach, size_t *at)
{
	const struct iface *i;

	for (; *attach < c->loadplan.header->attach_count; (*attach)++) {
		while (*at < f->count) {
			i = &f->list[(*at)++];
			if (is_meant(&c->loadplan.attaches[*attach], i) &&
			    custody_find_link(c, *attach, i->ifindex) == NULL)
				return i;
		}
		*at = 0;
	}
	return NULL;
}

/* In words, or NULL. */
static const char *
what_is_wrong(const struct custody *c, const struct custody_link *link,
    const struct link_seen *seen)
{
	uint32_t prog = c->loadplan.attaches[link->attach].prog;

	if (!seen->attached)
		return "was detached by somebody else";
	if (seen->prog_id != c->prog_ids[prog])
		return "runs a program that somebody else put there";
	if (seen->held_id != c->prog_ids[prog] ||
	    memcmp(seen->tag, c->prog_tags[prog], sizeof(seen->tag)) != 0)
		return "runs a program with another tag than was loaded";
	return NULL;
}

enum drift
follow_drift(const struct follow *f, const struct custody *c,
    struct custody_link *link, const struct link_seen *seen, const char **what)
{
	*what = what_is_wrong(c, link, seen);
	if (*what == NULL)
		return DRIFT_NONE;
	if (!seen->attached && link->interface[0] != '\0' &&
	    follow_find(f, link->ifindex) == NULL)
		return DRIFT_GONE;
	return ++link->drifts <= REPAIRS_MAX ? DRIFT_REPAIR : DRIFT_LEAVE;
}
