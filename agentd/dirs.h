/* SPDX-License-Identifier: ISC */
/*
 * The directories that agentd opens for itself and for its workers, so that
 * nobody but root and the one worker has a hand in them: the way there is
 * walked component by component, and what is found is refused rather than
 * repaired when it is not as the agent leaves it.
 */
#ifndef AGENTD_DIRS_H
#define AGENTD_DIRS_H

#include <stddef.h>
#include <sys/types.h>

#include "common/cleanup.h"

#define DIRS_ERROR_SIZE 1024

/*
 * Every function here returns an owned directory descriptor (CLOEXEC), or
 * -errno with a sentence for the operator in ERR of DIRS_ERROR_SIZE bytes.
 *
 * The way: each directory of an absolute path belongs to root (or to whoever
 * runs this) and is not writable for others; in one that is, but sticky (/tmp,
 * where the cache is by default), the next component must be no link and
 * belong to root or to the one allowed.  Links that root made elsewhere are
 * followed, but the last component must not be one.  What is missing is
 * created, with mode 0700 at the end.
 */

/*
 * AGENT_CACHE_DIR, for the account UID:GID.  Refused if it belongs to anybody
 * but root or UID, or is writable for group or others; one of root's becomes
 * UID's if it is empty, and is refused otherwise.
 */
int dirs_open_cache(
    const char *path, uid_t uid, gid_t gid, char *err) _must_check_;

/* AGENT_STATE_DIR: root's, not writable for others. */
int dirs_open_state(const char *path, char *err) _must_check_;

/* "spool" in the state directory STATE_FD, for the account UID:GID. */
int dirs_open_spool(int state_fd, uid_t uid, gid_t gid, char *err) _must_check_;

/*
 * The directory that PATH (AGENT_CONTROL_SOCKET) is to be made in: root's, not
 * writable for others; created with mode 0755.  *NAME points to the last
 * component of PATH.
 */
int dirs_open_parent(
    const char *path, const char **name, char *err) _must_check_;

/*
 * The directory of a file:// registry, whoever owns it: nothing that is read
 * there is trusted.
 */
int dirs_open_registry(const char *path, char *err) _must_check_;

/*
 * What the three above would say, without making or changing anything, for
 * agentd -n: 0, also where one is not there yet, or -errno with ERR.
 */
int dirs_check_state(const char *path, char *err) _must_check_;
int dirs_check_cache(const char *path, uid_t uid, char *err) _must_check_;
int dirs_check_parent(const char *path, char *err) _must_check_;

#endif
