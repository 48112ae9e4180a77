/* SPDX-License-Identifier: ISC */
/*
 * What must survive a restart of the agent: which artifacts are not to be
 * loaded again and why, since when a TTL runs, the highest version of each
 * name, the history of rollbacks, the number of the next event.
 *
 * In memory these are sorted arrays of records that stay where they are until
 * they are removed; on disk one file, AGENT_STATE_DIR/state, replaced as a
 * whole (temp, fsync, rename, fsync of the directory), so that a crash leaves
 * the old one or the new one.  A damaged file is set aside, never trusted and
 * never fatal.
 */
#ifndef AGENTD_STATE_H
#define AGENTD_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/lifecycle.h"
#include "common/limits.h"
#include "common/snapshot.h"

#define STATE_MAX_ARTIFACTS 8192 /* twice the longest list */
#define STATE_MAX_NAMES     8192
#define STATE_MAX_ROLLBACKS 1000
#define STATE_ERROR_SIZE    512
#define STATE_BOOT_ID_SIZE  16

/*
 * One artifact that was listed once: an id with a checksum, since another
 * checksum under the same id is another artifact.
 */
struct state_artifact {
	char artifact_id[AEGIS_ID_SIZE];
	char name[AEGIS_NAME_SIZE];
	char version[AEGIS_VERSION_SIZE];
	uint8_t sha256[AEGIS_SHA256_SIZE];
	/* STATUS_EXPIRED, _ROLLED_BACK, _FAILED: not to be loaded again;
	 * 0: nothing speaks against it. */
	uint32_t tombstone;
	uint32_t unload_reason; /* enum unload_reason */
	/* Its signature held once: a version older than the highest is no
	 * downgrade then. */
	uint32_t accepted;
	/* The list names it now; known to the running agent only: false
	 * after state_load(). */
	uint32_t listed;
	int64_t first_loaded_wall_ns; /* 0: never loaded */
	int64_t first_loaded_boot_ns;
	uint8_t boot_id[STATE_BOOT_ID_SIZE]; /* of first_loaded_boot_ns */
	int64_t last_seen_wall_ns;           /* in the list, or running */
	char error[STATE_ERROR_SIZE];
};

/* What is known of all artifacts of one name. */
struct state_name {
	char name[AEGIS_NAME_SIZE];
	char highest_version[AEGIS_VERSION_SIZE]; /* "": none accepted yet */
	/* The operator allows this older version, once; "": none. */
	char allow_downgrade[AEGIS_VERSION_SIZE];
	uint64_t highest_sequence; /* of signed metadata; 0: none */
};

struct state {
	struct state_artifact **artifacts; /* by id, then checksum */
	size_t artifact_count;
	struct state_name **names; /* by name */
	size_t name_count;
	struct snapshot_rollback *rollbacks; /* oldest first */
	size_t rollback_count;
	uint64_t next_event_seq; /* 1 in a new state */
};

void state_init(struct state *s);
void state_free(struct state *s);

/*
 * Read DIRFD's "state" into S, which it initialises.  No file is an empty
 * state and 0.  -EBADMSG: damaged, set aside as state.damaged-<time>; other
 * -errno: could not be read.  Either way S is empty and usable, and the error
 * has been logged.
 */
int state_load(int dirfd, struct state *s) _must_check_;

/* Write S to DIRFD so that it survives a crash from the return on. */
int state_save(int dirfd, const struct state *s) _must_check_;

/* The record, NULL if there is none.  The caller may change all but the id
 * and the checksum. */
struct state_artifact *state_artifact_find(
    const struct state *s, const char *artifact_id, const uint8_t *sha256);

/* The newest record (by last_seen_wall_ns) of an id, whatever its checksum;
 * NULL if there is none. */
struct state_artifact *state_artifact_latest(
    const struct state *s, const char *artifact_id);

/*
 * The record of this id and checksum, made if there is none, with name,
 * version and last_seen_wall_ns (NOW_WALL_NS) set.  When the state is full,
 * the artifact that left the list longest ago makes room.  NULL: no memory,
 * or a string that does not fit.
 */
struct state_artifact *state_artifact_put(struct state *s,
    const char *artifact_id, const uint8_t *sha256, const char *name,
    const char *version, int64_t now_wall_ns);

/* Forget it; A is freed. */
void state_artifact_remove(struct state *s, struct state_artifact *a);

/* A new list is about to be gone through: nothing is "listed" until then. */
void state_unlist_all(struct state *s);

/* Set the first load, if it was none before. */
void state_artifact_loaded(struct state_artifact *a, int64_t now_boot_ns,
    int64_t now_wall_ns, const uint8_t *boot_id);

/*
 * How long ago the artifact was first loaded, 0 if never.  In the boot of
 * that load by the boot clock, which does not step and counts suspend; after
 * a reboot by the wall clock, which at least cannot be before the time it was
 * last seen.  Never negative.
 */
int64_t state_age_ns(const struct state_artifact *a, int64_t now_boot_ns,
    int64_t now_wall_ns, const uint8_t *boot_id);

/* This boot's id.  0 or -errno (then all zeros: equal to no boot's). */
int state_boot_id(uint8_t *boot_id) _must_check_;

struct state_name *state_name_find(const struct state *s, const char *name);

/* Found or made.  NULL: no memory, full, or too long a name. */
struct state_name *state_name_put(struct state *s, const char *name);

enum state_verdict {
	STATE_VERSION_OK = 0,
	STATE_VERSION_ALLOWED,   /* older, but the operator allowed it */
	STATE_VERSION_DOWNGRADE, /* older than the highest accepted */
	STATE_VERSION_UNKNOWN    /* no semantic version: no order */
};

/* May an artifact with this id and checksum bring this version of NAME? */
enum state_verdict state_version_check(const struct state *s,
    const char *artifact_id, const uint8_t *sha256, const char *name,
    const char *version);

/*
 * A is accepted: raises the highest version of its name, uses up an
 * allowance.  0, -ENOMEM or -ENOSPC.
 */
int state_version_accept(
    struct state *s, struct state_artifact *a) _must_check_;

/* Copy R to the end of the history; the oldest goes when it is full. */
int state_rollback_add(
    struct state *s, const struct snapshot_rollback *r) _must_check_;

#endif
