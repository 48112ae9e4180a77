/* SPDX-License-Identifier: ISC */
/*
 * Files in the name of another account.  agentd can become other users
 * (CAP_SETUID, CAP_SETGID: workers are), and so needs neither CAP_CHOWN to
 * make something theirs nor CAP_DAC_READ_SEARCH to open it again.
 */
#ifndef AGENTD_FSUSER_H
#define AGENTD_FSUSER_H

#include <sys/socket.h>
#include <sys/types.h>

#include "common/cleanup.h"

/*
 * Open the directory that DIR is a descriptor of (O_PATH will do), with the
 * permissions of UID:GID.  An owned descriptor for reading, or -errno.
 */
int fsuser_open_dir(int dir, uid_t uid, gid_t gid) _must_check_;

/*
 * Put an empty directory of UID:GID, mode 0700, in the place of NAME in
 * PARENT, which is an empty directory of the caller's.  0, -ENOTEMPTY,
 * -EBUSY if something is mounted there, or another -errno.
 */
int fsuser_replace_dir(
    int parent, const char *name, uid_t uid, gid_t gid) _must_check_;

/* bind(2) a UNIX socket whose file is GID's.  0 or -errno. */
int fsuser_bind(
    int fd, const struct sockaddr *addr, socklen_t len, gid_t gid) _must_check_;

#endif
