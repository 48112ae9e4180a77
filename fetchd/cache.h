/* SPDX-License-Identifier: ISC */
/*
 * What was fetched, kept on disk for times when the registry is away:
 * artifacts by checksum, bounded, least recently used go first; and the last
 * good list.  Nothing here is trusted: artifacts are hashed when they are
 * read (a damaged file is dropped, not passed on) and verified by verifyd
 * like fresh ones.  A cache that cannot write says so once and goes on.
 */
#ifndef FETCHD_CACHE_H
#define FETCHD_CACHE_H

#include <stdint.h>

#include "common/cleanup.h"
#include "common/limits.h"

struct cache;

/* The files kept; more would make finding one slow. */
#define CACHE_FILES_MAX 8192

/*
 * Take stock of the directory DIR (takes it), removing what a crash left
 * half written, and whatever exceeds MAX_BYTES (0: keep no artifacts).
 */
int cache_open(struct cache **out, int dir, uint64_t max_bytes) _must_check_;
void cache_free(struct cache *c);

/* Bytes and number of artifacts kept. */
uint64_t cache_bytes(const struct cache *c);
uint32_t cache_count(const struct cache *c);

/*
 * The artifact with this SHA-256 as a sealed memfd of *SIZE bytes: owned
 * descriptor, -ENOENT if it is not here (or was damaged: logged), -errno.
 * Counts as a use.
 */
int cache_get(
    struct cache *c, const uint8_t *sha256, uint64_t *size) _must_check_;

/* Keep the SIZE bytes of the memfd FD (borrowed) under this SHA-256. */
void cache_put(struct cache *c, const uint8_t *sha256, int fd, uint64_t size);

/* It is on the list again: as good as a use. */
void cache_touch(struct cache *c, const uint8_t *sha256);

/*
 * The last good list from SOURCE (a SHA-256 of what identifies registry and
 * host, so that another registry's list is not taken for this one's): the
 * records of common/artlist.h, checked, as a sealed memfd.  Owned
 * descriptor, or -ENOENT, -EBADMSG (damaged: logged), -errno.
 */
int cache_load_list(struct cache *c, const uint8_t *source,
    int64_t *expires_wall_ns, uint32_t *entries) _must_check_;
void cache_save_list(struct cache *c, const uint8_t *source,
    const void *records, size_t len, int64_t expires_wall_ns);

#endif
