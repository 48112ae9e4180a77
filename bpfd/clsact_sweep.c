/* SPDX-License-Identifier: ISC */
/*
 * What was left behind: filters of this agent that are in the kernel, and
 * should be there, should be another program's, or should not.
 */
#include <errno.h>
#include <linux/pkt_sched.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "bpfd/clsact.h"

/* Ours on one interface. */
struct found {
	const struct kernel *k;
	struct tc_filter *list;
	size_t count;
	bool out_of_memory;
};

static void
collect_ours(const struct nlmsghdr *h, void *ctx)
{
	struct found *f = ctx;
	struct clsact_seen seen;
	struct tc_filter *list;
	bool made;

	if (!clsact_parse(h, &seen) ||
	    !clsact_is_ours(f->k->filter_owner, seen.name, &made))
		return;
	list = reallocarray(f->list, f->count + 1, sizeof(*list));
	if (list == NULL) {
		f->out_of_memory = true;
		return;
	}
	f->list = list;
	list[f->count] = seen.filter;
	list[f->count++].made_qdisc = made;
}

struct interfaces {
	uint32_t *list;
	size_t count;
	bool out_of_memory;
};

static void
collect_interface(const struct nlmsghdr *h, void *ctx)
{
	struct interfaces *i = ctx;
	const struct tcmsg *tc = NLMSG_DATA(h);
	uint32_t *list;
	size_t len;

	if (h->nlmsg_type != RTM_NEWQDISC ||
	    rtnl_attrs(h, sizeof(*tc), &len) == NULL || tc->tcm_ifindex <= 0 ||
	    tc->tcm_parent != TC_H_CLSACT)
		return;
	list = reallocarray(i->list, i->count + 1, sizeof(*list));
	if (list == NULL) {
		i->out_of_memory = true;
		return;
	}
	i->list = list;
	list[i->count++] = (uint32_t)tc->tcm_ifindex;
}

/* Interfaces that may have filters: those with such a qdisc. */
static int
list_interfaces(const struct kernel *k, struct interfaces *i)
{
	const struct tcmsg tc = { .tcm_family = AF_UNSPEC };
	struct rtnl_request r;
	unsigned int tries = 0;
	int error;

	do {
		i->count = 0;
		rtnl_init(&r, RTM_GETQDISC, NLM_F_DUMP, &tc, sizeof(tc));
		error = rtnl_ask(k->tc_fd, &r, collect_interface, i, NULL);
	} while (error == -EINTR && ++tries < 8);
	/* Disturbed all the time: what was seen is better than nothing. */
	if (error == -EINTR)
		error = 0;
	return error == 0 && i->out_of_memory ? -ENOMEM : error;
}

/* A filter that is there: keep it, put it right, or remove it. */
static int
settle(const struct kernel *k, const struct tc_filter *found,
    const struct tc_filter *keep, const int *prog_fds, size_t count,
    uint32_t *removed, uint32_t *restored)
{
	struct tc_filter filter = *found;
	size_t i;
	int r;

	for (i = 0; i < count && !tc_filter_same_place(&keep[i], found); i++)
		continue;
	if (i < count && keep[i].prog_id == found->prog_id)
		return 0;
	if (i < count && prog_fds[i] >= 0) {
		r = clsact_replace(k, &filter, prog_fds[i]);
		*restored += r == 0;
		return r;
	}
	r = clsact_detach(k, found);
	*removed += r == 0;
	return r == -ENOENT ? 0 : r;
}

int
clsact_sweep(const struct kernel *k, const struct tc_filter *keep,
    const int *prog_fds, size_t count, uint32_t *removed, uint32_t *restored)
{
	struct interfaces interfaces = { 0 };
	struct found found = { .k = k };
	unsigned int made;
	size_t i, j;
	int r, one;

	r = list_interfaces(k, &interfaces);
	for (i = 0; r == 0 && i < interfaces.count; i++) {
		/* One that has gone meanwhile took its filters along. */
		(void)clsact_dump(
		    k, interfaces.list[i], false, collect_ours, &found);
		(void)clsact_dump(
		    k, interfaces.list[i], true, collect_ours, &found);
	}
	if (r == 0 && found.out_of_memory)
		r = -ENOMEM;
	/* Last those that a qdisc was made with: it must be empty to go. */
	for (made = 0; made <= 1; made++) {
		for (j = 0; j < found.count; j++) {
			if (found.list[j].made_qdisc != made)
				continue;
			one = settle(k, &found.list[j], keep, prog_fds, count,
			    removed, restored);
			if (r == 0)
				r = one;
		}
	}
	free(found.list);
	free(interfaces.list);
	return r;
}
