/* SPDX-License-Identifier: ISC */
/*
 * Large things between processes: a memfd that is written once, sealed, and
 * from then on the same bytes for everybody who holds it.
 */
#ifndef COMMON_MEMFD_H
#define COMMON_MEMFD_H

#include <stddef.h>
#include <sys/types.h>

#include "common/cleanup.h"

/*
 * A new, empty, unsealed, not executable memfd for writing; NAME shows in
 * /proc/<pid>/fd and is for people.  Returns an owned descriptor or -errno.
 */
int memfd_create_buffer(const char *name) _must_check_;

/*
 * Forbid every later change (write, grow, shrink, future seals).  The caller
 * must have unmapped it.  0 or -errno.
 */
int memfd_seal(int fd) _must_check_;

/* Create, write LEN bytes of DATA, seal.  Owned descriptor or -errno. */
int memfd_from_bytes(
    const char *name, const void *data, size_t len) _must_check_;

/* A read-only view of a sealed memfd. */
struct memfd_map {
	const void *data; /* NULL when len is 0 */
	size_t len;       /* bytes */
};

/*
 * Map FD for reading after checking that it is a memfd with exactly the
 * seals of memfd_seal() and holds at most MAX bytes.  FD stays the
 * caller's.  -EPERM: not sealed, or no memfd at all; -EFBIG: larger than
 * MAX; else -errno.
 */
int memfd_map(int fd, size_t max, struct memfd_map *map) _must_check_;
void memfd_unmap(struct memfd_map *map);

#define _cleanup_memfd_map_ _cleanup_(memfd_unmap)

#endif
