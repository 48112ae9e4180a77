/* SPDX-License-Identifier: ISC */
/*
 * Files that take what they are given, perhaps in pieces.
 */
#ifndef COMMON_FDIO_H
#define COMMON_FDIO_H

#include <stddef.h>

#include "common/cleanup.h"

/* All LEN bytes at DATA into FD, which blocks.  0 or -errno: some may be in. */
int fd_write_all(int fd, const void *data, size_t len) _must_check_;

#endif
