/* SPDX-License-Identifier: ISC */
/*
 * The artifacts by handle and by id.  The registry chooses how many there are
 * and what they are called: each look takes a binary search, whatever it
 * chose.
 */
#ifndef AGENTD_INDEX_H
#define AGENTD_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

struct artifact;

struct artifact_index {
	struct artifact **by_handle; /* ascending */
	struct artifact **by_id;     /* of one id, the newest first */
	size_t count, room;
};

/* Before A's handle and id change, if ever: remove it.  0 or -ENOMEM. */
int index_add(struct artifact_index *index, struct artifact *a) _must_check_;
void index_remove(struct artifact_index *index, const struct artifact *a);
void index_free(struct artifact_index *index);

/* NULL: there is none. */
struct artifact *index_find(
    const struct artifact_index *index, uint64_t handle);

/*
 * The records of an id, from the newest on: the first for AFTER NULL, and
 * the one after AFTER.  NULL: no more.
 */
struct artifact *index_next(const struct artifact_index *index,
    const char *artifact_id, const struct artifact *after);

#endif
