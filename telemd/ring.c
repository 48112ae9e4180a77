/* SPDX-License-Identifier: ISC */
#include "telemd/ring.h"

#include <linux/bpf.h>
#include <string.h>
#include <sys/mman.h>

/* struct bpf_ringbuf_hdr in the kernel: length and flags, page offset. */
#define RECORD_HEADER 8

int
ring_map(struct ring *r, int fd, uint64_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *consumer, *producer;
	int e;

	memset(r, 0, sizeof(*r));
	if (size < page || (size & (size - 1)) != 0 || size > 1u << 30)
		return -EINVAL;
	consumer = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (consumer == MAP_FAILED)
		return -errno;
	/* The data follows the producer's page, twice in a row, so that a
	 * record that wraps around is in one piece. */
	producer =
	    mmap(NULL, page + 2 * size, PROT_READ, MAP_SHARED, fd, (off_t)page);
	if (producer == MAP_FAILED) {
		e = -errno;
		(void)munmap(consumer, page);
		return e;
	}
	ring_attach(r, consumer, producer, page, size);
	return 0;
}

void
ring_attach(
    struct ring *r, void *consumer, void *producer, size_t page, uint64_t size)
{
	r->consumer_page = consumer;
	r->producer_page = producer;
	r->page = page;
	r->size = size;
	r->position = ring_released(r);
}

void
ring_unmap(struct ring *r)
{
	if (r->consumer_page != NULL)
		(void)munmap(r->consumer_page, r->page);
	if (r->producer_page != NULL)
		(void)munmap(r->producer_page, r->page + 2 * r->size);
	memset(r, 0, sizeof(*r));
}

static uint64_t
producer_position(const struct ring *r)
{
	return __atomic_load_n(
	    (const uint64_t *)r->producer_page, __ATOMIC_ACQUIRE);
}

uint64_t
ring_released(const struct ring *r)
{
	return __atomic_load_n(
	    (const uint64_t *)r->consumer_page, __ATOMIC_ACQUIRE);
}

uint64_t
ring_unread(const struct ring *r)
{
	return producer_position(r) - r->position;
}

int
ring_next(struct ring *r, const void **data, uint32_t *len)
{
	const char *base = (const char *)r->producer_page + r->page;
	uint64_t unread, step;
	const char *record;
	uint32_t header;

	for (;;) {
		unread = ring_unread(r);
		if (unread == 0)
			return 0;
		if (unread > r->size || unread < RECORD_HEADER)
			return -EBADMSG;
		record = base + (r->position & (r->size - 1));
		header = __atomic_load_n(
		    (const uint32_t *)(const void *)record, __ATOMIC_ACQUIRE);
		if (header & BPF_RINGBUF_BUSY_BIT)
			return 0;
		*len =
		    header & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
		step = ((uint64_t)*len + RECORD_HEADER + 7) & ~(uint64_t)7;
		if (step > unread)
			return -EBADMSG;
		r->position += step;
		if (header & BPF_RINGBUF_DISCARD_BIT)
			continue;
		*data = record + RECORD_HEADER;
		return 1;
	}
}

void
ring_release(struct ring *r, uint64_t position)
{
	__atomic_store_n(
	    (uint64_t *)r->consumer_page, position, __ATOMIC_RELEASE);
}
