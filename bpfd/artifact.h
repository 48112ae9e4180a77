/* SPDX-License-Identifier: ISC */
/*
 * What bpfd holds of an artifact in the kernel: its plan, and program and map
 * descriptors to sample with.  Never links: custody of those, and so the
 * power to keep a program attached, is agentd's.
 */
#ifndef BPFD_ARTIFACT_H
#define BPFD_ARTIFACT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/cleanup.h"
#include "common/limits.h"
#include "common/loadplan.h"
#include "common/memfd.h"

struct artifact_prog {
	int fd; /* -1: not loaded */
	uint32_t prog_id;
	uint8_t tag[8];
	uint64_t memory; /* bytes; does not change */
};

struct artifact_map {
	int fd;
	uint32_t map_id;
	uint64_t memory; /* bytes, when last looked at */
	bool grows;      /* allocates as elements come */
};

struct artifact {
	TAILQ_ENTRY(artifact) entry;
	uint64_t id;    /* agentd's handle */
	bool updating;  /* the loader's thread is at work on its maps, */
	bool forgotten; /* and frees it then: agentd wants it no more */
	char artifact_id[AEGIS_ID_SIZE];
	struct memfd_map plan_bytes; /* what plan points into */
	struct loadplan plan;
	struct artifact_prog progs[LOADPLAN_MAX_PROGS];
	struct artifact_map maps[LOADPLAN_MAX_MAPS];
};

TAILQ_HEAD(artifact_list, artifact);

/* An artifact without descriptors; NULL when there is no memory. */
struct artifact *artifact_new(uint64_t id, const char *artifact_id);

/* Close all and release; NULL is ignored.  Not while it is in a list. */
void artifact_free(struct artifact *a);

/*
 * Map and check the plan in FD (borrowed).  0, -EALREADY if it has one, or
 * -errno with *WHAT saying which record is wrong (static text).
 */
int artifact_set_plan(
    struct artifact *a, int fd, const char **what) _must_check_;

/*
 * Take over program or map INDEX of the plan in FD (takes it, also on
 * failure), after comparing it with the plan: counters are read by the
 * plan's sizes.  0, or -errno: -EINVAL it is something else.
 */
int artifact_set_prog(struct artifact *a, uint32_t index, int fd) _must_check_;
int artifact_set_map(struct artifact *a, uint32_t index, int fd) _must_check_;

/* NULL if there is none. */
struct artifact *artifact_find(struct artifact_list *list, uint64_t id);

/* Whose program it is, and its descriptor (borrowed); NULL, -1 if nobody's. */
struct artifact *artifact_find_prog(
    struct artifact_list *list, uint32_t prog_id, int *fd);

#endif
