/* SPDX-License-Identifier: ISC */
/*
 * A BPF ring buffer, mapped and read without a single bpf(2) call: that is
 * forbidden here, and not needed.  Reading and letting go are two things:
 * the consumer position, which is what the kernel may overwrite up to, moves
 * on only when somebody says that what was read is safe.  So the ring is its
 * own journal, and a new telemd reads again what an old one died with.
 *
 * The producer is the kernel on behalf of a program that is only as good as
 * its author: lengths are checked against the ring before a byte is read.
 */
#ifndef TELEMD_RING_H
#define TELEMD_RING_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

struct ring {
	void *consumer_page; /* a page, writable */
	void *producer_page; /* a page, then the data twice; read-only */
	size_t page;
	uint64_t size;     /* of the data: a power of two, in bytes */
	uint64_t position; /* read up to here */
};

/*
 * Map the ring buffer FD (borrowed; may be closed afterwards) of SIZE bytes.
 * -EINVAL: no such size; else -errno of mmap(2).
 */
int ring_map(struct ring *r, int fd, uint64_t size) _must_check_;

/* The same for memory laid out like one: for tests. */
void ring_attach(
    struct ring *r, void *consumer, void *producer, size_t page, uint64_t size);

void ring_unmap(struct ring *r);

/*
 * The next record: *DATA points into the ring and stays valid until
 * ring_release() beyond it.  1: there is one; 0: none for now; -EBADMSG: the
 * ring's content is none (the reader must give up).
 */
int ring_next(struct ring *r, const void **data, uint32_t *len) _must_check_;

/* Bytes that were written but not read. */
uint64_t ring_unread(const struct ring *r);

/* The kernel may overwrite all before POSITION. */
void ring_release(struct ring *r, uint64_t position);

/* How far it was released. */
uint64_t ring_released(const struct ring *r);

#endif
