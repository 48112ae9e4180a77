/* SPDX-License-Identifier: ISC */
/* The ring's reader on memory laid out like a BPF ring buffer. */
#include "unit.h"

#include <linux/bpf.h>
#include <string.h>

#include "common/clock.h"
#include "common/ratelimit.h"
#include "telemd/ring.h"

#define PAGE 4096
#define SIZE 4096

/* Consumer page, producer page, data; the kernel maps the data twice. */
static _Alignas(8) unsigned char consumer[PAGE];
static _Alignas(8) unsigned char producer[PAGE + 2 * SIZE];

static void
set_produced(uint64_t position)
{
	memcpy(producer, &position, sizeof(position));
}

static void
put(uint64_t position, uint32_t header, const char *text)
{
	uint32_t words[2] = { header, 0 };
	unsigned char bytes[64] = { 0 };
	size_t i, at, len = 8;

	memcpy(bytes, words, 8);
	if (text != NULL) {
		memcpy(bytes + 8, text, strlen(text));
		len += strlen(text);
	}
	for (i = 0; i < len; i++) {
		at = (position + i) % SIZE;
		producer[PAGE + at] = producer[PAGE + SIZE + at] = bytes[i];
	}
}

static struct ring
fresh(uint64_t start)
{
	struct ring r;

	memset(producer, 0, sizeof(producer));
	memcpy(consumer, &start, sizeof(start));
	set_produced(start);
	ring_attach(&r, consumer, producer, PAGE, SIZE);
	return r;
}

START_TEST (test_reads_in_order_and_releases_on_demand) {
	struct ring r = fresh(0);
	const void *data;
	uint32_t len;

	ck_assert_int_eq(ring_next(&r, &data, &len), 0);
	put(0, 5, "hello");
	put(16, 3 | BPF_RINGBUF_DISCARD_BIT, "xxx");
	put(32, 2, "ok");
	set_produced(48);
	ck_assert_int_eq(ring_next(&r, &data, &len), 1);
	ck_assert_uint_eq(len, 5);
	ck_assert_mem_eq(data, "hello", 5);
	ck_assert_int_eq(ring_next(&r, &data, &len), 1);
	ck_assert_mem_eq(data, "ok", 2);
	ck_assert_int_eq(ring_next(&r, &data, &len), 0);
	ck_assert_uint_eq(r.position, 48);
	/* Read, but not released: another reader would read it again. */
	ck_assert_uint_eq(ring_released(&r), 0);
	ring_release(&r, 16);
	ring_attach(&r, consumer, producer, PAGE, SIZE);
	ck_assert_int_eq(ring_next(&r, &data, &len), 1);
	ck_assert_mem_eq(data, "ok", 2);
}
END_TEST

START_TEST (test_waits_for_a_busy_record) {
	struct ring r = fresh(0);
	const void *data;
	uint32_t len;

	put(0, 4 | BPF_RINGBUF_BUSY_BIT, "half");
	set_produced(16);
	ck_assert_int_eq(ring_next(&r, &data, &len), 0);
	ck_assert_uint_eq(r.position, 0);
	put(0, 4, "full");
	ck_assert_int_eq(ring_next(&r, &data, &len), 1);
	ck_assert_mem_eq(data, "full", 4);
}
END_TEST

START_TEST (test_wraps) {
	struct ring r = fresh(3 * SIZE - 8);
	const void *data;
	uint32_t len;

	put(3 * SIZE - 8, 6, "around");
	set_produced(3 * SIZE + 8);
	ck_assert_int_eq(ring_next(&r, &data, &len), 1);
	ck_assert_uint_eq(len, 6);
	ck_assert_mem_eq(data, "around", 6);
	ck_assert_int_eq(ring_next(&r, &data, &len), 0);
}
END_TEST

START_TEST (test_content_that_makes_no_sense) {
	struct ring r = fresh(0);
	const void *data;
	uint32_t len;

	/* longer than what was written */
	put(0, 100, NULL);
	set_produced(16);
	ck_assert_int_eq(ring_next(&r, &data, &len), -EBADMSG);
	/* longer than the ring */
	put(0, 0x3fffffff, NULL);
	set_produced(SIZE);
	ck_assert_int_eq(ring_next(&r, &data, &len), -EBADMSG);
	/* more unread than the ring holds; a consumer ahead of it all */
	set_produced(2 * SIZE);
	ck_assert_int_eq(ring_next(&r, &data, &len), -EBADMSG);
	r = fresh(64);
	set_produced(0);
	ck_assert_int_eq(ring_next(&r, &data, &len), -EBADMSG);
	/* not even a header */
	set_produced(68);
	ck_assert_int_eq(ring_next(&r, &data, &len), -EBADMSG);
}
END_TEST

START_TEST (test_map_refuses_sizes) {
	static const uint64_t sizes[] = { 0, 1, 4095, 5000, 1ull << 31 };
	struct ring r;
	size_t i;

	for (i = 0; i < nitems(sizes); i++)
		ck_assert_int_eq(ring_map(&r, -1, sizes[i]), -EINVAL);
	ck_assert_int_lt(ring_map(&r, -1, 4096), 0);
}
END_TEST

START_TEST (test_rate_limit) {
	struct ratelimit rl;
	int64_t now = 5 * NSEC_PER_SEC;
	int i, taken;

	ratelimit_init(&rl, 1000, now);
	for (taken = 0; ratelimit_take(&rl); taken++)
		continue;
	ck_assert_int_eq(taken, 1000);
	ratelimit_refill(&rl, now + 10 * NSEC_PER_MSEC);
	for (taken = 0; ratelimit_take(&rl); taken++)
		continue;
	ck_assert_int_eq(taken, 10);
	/* ticks add up exactly, and no burst is larger than a second's */
	for (i = 0, taken = 0; i < 1000; i++) {
		ratelimit_refill(&rl, now + (i + 11) * NSEC_PER_MSEC);
		while (ratelimit_take(&rl))
			taken++;
	}
	ck_assert_int_eq(taken, 1000);
	ratelimit_refill(&rl, now + 1000 * NSEC_PER_SEC);
	for (taken = 0; ratelimit_take(&rl); taken++)
		continue;
	ck_assert_int_eq(taken, 1000);
	/* a clock that stands still or goes back gives nothing */
	ratelimit_refill(&rl, now);
	ck_assert(!ratelimit_take(&rl));
	ratelimit_init(&rl, 0, now);
	for (i = 0; i < 5000; i++)
		ck_assert(ratelimit_take(&rl));
}
END_TEST

UNIT_MAIN("ring", test_reads_in_order_and_releases_on_demand,
    test_waits_for_a_busy_record, test_wraps, test_content_that_makes_no_sense,
    test_map_refuses_sizes, test_rate_limit)
