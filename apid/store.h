/* SPDX-License-Identifier: ISC */
/*
 * The current snapshot, shared by the threads that answer requests.  A new
 * one is swapped in whole; who still reads the old one keeps it until done.
 */
#ifndef APID_STORE_H
#define APID_STORE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/memfd.h"
#include "common/snapshot.h"

/* A checked snapshot and the mapping that it lies in. */
struct stored {
	atomic_uint refs;
	struct memfd_map map;
	struct snapshot snapshot;
};

struct store {
	pthread_mutex_t lock;
	struct stored *current; /* NULL before the first */
	/* Of the current one; 0: none.  Read without the lock. */
	atomic_uint_least64_t generation;
};

void store_init(struct store *st);
void store_clear(struct store *st);

/*
 * Map and check the sealed memfd FD (stays the caller's) and make it the
 * current snapshot.  -EBADMSG with *WHAT (static), or -errno of the mapping:
 * the old one stays.
 */
int store_put(struct store *st, int fd, const char **what) _must_check_;

/* The current snapshot, one reference owned by the caller; NULL: none yet. */
struct stored *store_get(struct store *st);

/* Give the reference back; NULL is ignored. */
void stored_unref(struct stored *s);

/* The generation of the current snapshot, 0 if there is none. */
uint64_t store_generation(struct store *st);

static inline void
cleanup_stored(struct stored **s)
{
	stored_unref(*s);
}
#define _cleanup_stored_ _cleanup_(cleanup_stored)

#endif
