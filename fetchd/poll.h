/* SPDX-License-Identifier: ISC */
/*
 * Asking the registry for its list, again and again: when, with which ETag,
 * and what agentd is told.
 */
#ifndef FETCHD_POLL_H
#define FETCHD_POLL_H

#include "common/cleanup.h"
#include "fetchd/source.h"

struct poll;

/* The first poll comes at once.  SRC is borrowed for as long as POLL lives. */
int poll_new(struct poll **out, const struct source *src) _must_check_;
void poll_free(struct poll *p);

/* Do not wait for the schedule; if a poll is under way, one follows it. */
void poll_now(struct poll *p);

#endif
