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
 * One artifact that was loaded once, or ended: an id with a checksum, since
 * another checksum under the same id is another artifact.
 */
struct state_artifact {
	char artifact_id[AEGIS_ID_SIZE];
	char name[AEGIS_NAME_SIZE];
	char version[AEGIS_VERSION_SIZE];
	uint8_t sha256[AEGIS_SHA256_SIZE];
	/* STATUS_EXPIRED, _ROLLED_BACK, _FAILED, or whatever end it came to:
	 * not to be loaded again; 0: nothing speaks against it. */
	uint32_t tombstone;
	uint32_t unload_reason; /* enum unload_reason */
	uint32_t accepted; /* verified once, and no downgrade: stays good */
	/* The tombstone stands for these parameters alone, with which it never
	 * ran (fleet_params_hash()); 0: for whatever parameters. */
	uint32_t params_hash;
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
	uint64_t accept_order;     /* of the last acceptance, among all names */
};

struct state {
	struct state_artifact **artifacts; /* sorted by id, then checksum */
	size_t artifact_count;
	struct state_name **names; /* sorted by name */
	size_t name_count;
	struct snapshot_rollback *rollbacks; /* oldest first */
	size_t rollback_count;
	uint32_t filter_owner;   /* marks our tc filters; 0 in a new state */
	uint64_t next_event_seq; /* 1 in a new state */
	uint64_t next_accept_order;
};

void state_init(struct state *s);
void state_free(struct state *s);

/*
 * Read DIRFD's "state" into S, which it initialises.  No file is an empty
 * state and 0.  -EBADMSG: damaged, set aside as state.damaged-<time>; other
 * -errno: could not be read.  Either way S is empty and usable then, and the
 * error has been logged.
 */
int state_load(int dirfd, struct state *s) _must_check_;

/*
 * Write S to DIRFD so that from the return on it survives a crash.  On
 * failure -errno, and the file is what it was.
 */
int state_save(int dirfd, const struct state *s) _must_check_;

/* ---- artifacts ---- */

/* The record, NULL if there is none.  The caller may change all but the id
 * and the checksum. */
struct state_artifact *state_artifact_find(
    const struct state *s, const char *artifact_id, const uint8_t *sha256);

/*
 * The record, made if there is none; NAME and VERSION are set, all else is
 * left.  When the state is full, the one that was seen longest ago makes
 * room: of those that never ran, if there are any, of those that ended by TTL
 * or rollback last.  NULL, logged: no memory, or a string that does not fit.
 */
struct state_artifact *state_artifact_put(struct state *s,
    const char *artifact_id, const uint8_t *sha256, const char *name,
    const char *version);

/* The list names it: it is not what makes room.  Unknown: nothing. */
void state_artifact_seen(struct state *s, const char *artifact_id,
    const uint8_t *sha256, int64_t now_wall_ns);

/*
 * Lift the tombstones of an id, whatever the checksum; TTLs start anew.
 * False if there was none.
 */
bool state_artifact_pardon(struct state *s, const char *artifact_id);

/*
 * How long ago the artifact was first loaded, 0 if never.  In the boot of
 * that load by the boot clock, which does not step and counts suspend; after
 * a reboot by the wall clock, which at least cannot be before the time the
 * artifact was last seen.  Never negative.
 */
int64_t state_age_ns(const struct state_artifact *a, int64_t now_boot_ns,
    int64_t now_wall_ns, const uint8_t *boot_id);

/*
 * This boot's id.  On failure -errno and zeros, which equal no boot's (so
 * that the wall clock counts).
 */
int state_boot_id(uint8_t boot_id[STATE_BOOT_ID_SIZE]) _must_check_;

/* ---- names ---- */

struct state_name *state_name_find(const struct state *s, const char *name);

/*
 * VERSION of NAME is accepted, with SEQUENCE of its signed metadata (0: none):
 * raises the highest of each (semver.h) and uses up an allowance for this
 * version.  What cannot be kept is logged.
 */
void state_name_accept(
    struct state *s, const char *name, const char *version, uint64_t sequence);

/*
 * The operator allows VERSION of NAME once, although it is older.  0,
 * -ENOENT: nothing is known of NAME, so nothing needs to be allowed; -EINVAL.
 */
int state_name_allow_downgrade(
    struct state *s, const char *name, const char *version) _must_check_;

/* ---- rollbacks ---- */

/*
 * A new, zeroed entry at the end of the history, whose oldest goes when it
 * is full.  Valid until the next call.  NULL, logged: no memory.
 */
struct snapshot_rollback *state_rollback_add(struct state *s);

/* The last entry of an id, NULL if there is none; valid as above. */
struct snapshot_rollback *state_rollback_latest(
    const struct state *s, const char *artifact_id);

#endif
