/* SPDX-License-Identifier: ISC */
/*
 * A registry that is a directory (file://): files are opened beneath the
 * directory that agentd passed, and nowhere else.
 */
#ifndef FETCHD_FILETREE_H
#define FETCHD_FILETREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/cleanup.h"

/*
 * Open the regular file PATH (relative; a leading '/' is dropped) beneath
 * ROOT for reading; symbolic links must stay inside.  Owned descriptor with
 * *ST filled in, or -errno; -EINVAL: no regular file.
 */
int filetree_open(int root, const char *path, struct stat *st) _must_check_;

/*
 * Read the whole of FD into memory, at most MAX bytes.  0 and owned *DATA
 * (free) with *LEN, or -EFBIG, -errno.
 */
int filetree_read(int fd, size_t max, char **data, size_t *len) _must_check_;

/*
 * Copy FD into the unsealed memfd OUT, at most MAX bytes.  The number of
 * bytes, or -EFBIG, -errno.
 */
int64_t filetree_copy(int fd, int out, uint64_t max) _must_check_;

/* True if the file has not changed between the two looks at it. */
bool filetree_same(const struct stat *a, const struct stat *b);

#endif
