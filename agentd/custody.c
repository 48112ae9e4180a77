/* SPDX-License-Identifier: ISC */
#include "agentd/custody.h"

#include <string.h>

#include "common/attach.h"
#include "common/limits.h"
#include "common/log.h"

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
	for (i = 0; i < nitems(c->links); i++) {
		c->links[i] = -1;
		c->takes_over[i] = UINT32_MAX;
	}
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
custody_release_files(struct custody *c)
{
	fd_close(&c->bytes);
	fd_close(&c->object);
	fd_close(&c->plan);
	memfd_unmap(&c->plan_map);
	memset(&c->loadplan, 0, sizeof(c->loadplan));
}

static bool
can_take_over(
    const struct loadplan_attach *new, const struct loadplan_attach *old)
{
	const struct attach_row *row = attach_row(new->kind);

	return row != NULL && row->link_update &&
	    new->kind == old->kind &&new->flags ==
	    old->flags &&strcmp(new->target, old->target) == 0;
}

unsigned int
custody_match(struct custody *new, const struct custody *old)
{
	bool taken[LOADPLAN_MAX_ATTACHES] = { false };
	unsigned int n = 0;
	uint32_t i, j;

	for (i = 0; i < LOADPLAN_MAX_ATTACHES; i++)
		new->takes_over[i] = UINT32_MAX;
	if (new->loadplan.header == NULL || old->loadplan.header == NULL)
		return 0;
	for (i = 0; i < new->loadplan.header->attach_count; i++) {
		for (j = 0; j < old->loadplan.header->attach_count; j++) {
			if (taken[j] || old->links[j] < 0 ||
			    !can_take_over(&new->loadplan.attaches[i],
				&old->loadplan.attaches[j]))
				continue;
			new->takes_over[i] = j;
			taken[j] = true;
			n++;
			break;
		}
	}
	return n;
}

void
custody_free(struct custody *c, struct closer *closer)
{
	if (c == NULL)
		return;
	closer_close(closer, c, 0);
	custody_release_files(c);
	fd_close(&c->effective);
	fd_close(&c->verifier_log);
	free(c);
}
