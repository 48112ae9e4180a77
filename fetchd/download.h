/* SPDX-License-Identifier: ISC */
/*
 * Fetching artifacts: a queue, a few at a time, each into a memfd that is
 * sealed and handed to agentd.
 */
#ifndef FETCHD_DOWNLOAD_H
#define FETCHD_DOWNLOAD_H

#include "common/cleanup.h"
#include "fetchd/source.h"

struct downloads;

/* SRC is borrowed for as long as it lives. */
int downloads_new(
    struct downloads **out, const struct source *src) _must_check_;
void downloads_free(struct downloads *d);

/* A FETCH_ARTIFACT message.  -EINVAL: its values break the rules. */
int downloads_add(struct downloads *d, uint64_t handle,
    const struct msg_fetch_artifact *want) _must_check_;

/* No longer wanted; unknown handles (answered meanwhile) are ignored. */
void downloads_cancel(struct downloads *d, uint64_t handle);

#endif
