/* SPDX-License-Identifier: ISC */
/*
 * Attachments that no descriptor keeps: tc filters.  bpfd detaches them; what
 * agentd asked to be detached is remembered until it is, over the death of a
 * bpfd too.  A new bpfd is told which filters there should be, and removes
 * all else that bears this agent's mark: so nothing is lost that bpfd, or an
 * agentd before this one, had attached and could not tell of.  Gone is what
 * bpfd says is gone; what the kernel does not let go is asked for again.
 */
#ifndef AGENTD_FILTERS_H
#define AGENTD_FILTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/tcfilter.h"

struct agent;
struct imsg;
struct filter_leaving;

struct filters {
	struct filter_leaving *leaving;
	size_t count; /* 0: all that was asked for has been detached */
	size_t room;
	bool swept; /* bpfd has done what filters_tell() told it */
};

/* closer_undo: have it detached; the unloading of HANDLE waits for it. */
void filters_detach(const struct tc_filter *filter, uint64_t handle, void *ctx);

/* All descriptors of HANDLE are closed: must it wait for filters yet? */
bool filters_wait(struct agent *agent, uint64_t handle);

/* Ask again for those that the kernel refused to remove. */
void filters_retry(struct agent *agent);

/* How many are yet to be answered for the first time: refused ones are not
 * waited for. */
size_t filters_awaited(const struct agent *agent);

/* A new bpfd is there: tell it which filters there should be. */
void filters_tell(struct agent *agent);

/* bpfd has died: what it was asked is not known to be done. */
void filters_lost(struct agent *agent);

/* Handlers of bpfd's channel. */
int filters_handle_detached(struct imsg *m, void *ctx);
int filters_handle_kept(struct imsg *m, void *ctx);

void filters_free(struct agent *agent);

#endif
