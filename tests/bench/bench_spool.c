/* SPDX-License-Identifier: ISC */
/*
 * Appending events of 350 bytes to the spool, with one sync a group: events
 * a second, beside bare write(2) and fdatasync(2) of the same bytes.
 *
 *	bench_spool DIRECTORY [rounds]
 *
 * Exit status 1 if the goal of 50,000 a second is missed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "telemd/spool.h"

#define EVENT_BYTES 350
#define GROUP       1024 /* what comes in 20 ms at the goal: a sync or two */
#define GROUPS      10
#define GOAL        50000

/* One batch an event, as agentd's come. */
static struct batch *
make_event(uint64_t seq)
{
	static const char json[EVENT_BYTES] = "{}";
	const uint8_t id[16] = { 0 };
	struct batch *b = batch_new(EVENT_DURABLE);
	size_t start = batch_begin(b);

	jsonbuf_raw(&b->buf, json, sizeof(json));
	if (!batch_end(b, start, EVENT_PROGRAM_LOADED, seq, id))
		exit(1);
	return b;
}

static double
spool_round(struct spool *sp, uint64_t *seq)
{
	uint64_t dropped[EVENT_TYPE_MAX] = { 0 };
	int64_t took = 0, start;
	struct batch *group[GROUP];
	int g, i;

	for (g = 0; g < GROUPS; g++) {
		for (i = 0; i < GROUP; i++)
			group[i] = make_event(++*seq);
		start = clock_boot_ns();
		for (i = 0; i < GROUP; i++)
			if (spool_append(sp, group[i], dropped) < 0)
				exit(1);
		if (spool_sync(sp) < 0)
			exit(1);
		took += clock_boot_ns() - start;
		for (i = 0; i < GROUP; i++)
			batch_free(group[i]);
		spool_confirm(sp, *seq);
	}
	return GROUPS * GROUP / ((double)took / 1e9);
}

static double
bare_round(int dir)
{
	_cleanup_fd_ int fd =
	    openat(dir, "bare", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	static char bytes[sizeof(struct record) + EVENT_BYTES + 2];
	int64_t start = clock_boot_ns();
	int g, i;

	for (g = 0; g < GROUPS; g++) {
		for (i = 0; i < GROUP; i++)
			if (write(fd, bytes, sizeof(bytes)) != sizeof(bytes))
				exit(1);
		if (fdatasync(fd) == -1)
			exit(1);
	}
	return GROUPS * GROUP / ((double)(clock_boot_ns() - start) / 1e9);
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

int
main(int argc, char **argv)
{
	_cleanup_fd_ int dir = -1;
	double ours[32], bare[32];
	struct spool sp;
	uint64_t seq = 0;
	int i, rounds = argc > 2 ? atoi(argv[2]) : 9;

	if (argc < 2 || rounds < 1 || rounds > 32)
		return 64;
	dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	spool_init(&sp);
	if (dir == -1 || spool_open(&sp, dir, 64u << 20, 0) < 0) {
		perror(argv[1]);
		return 1;
	}
	for (i = 0; i < rounds; i++) {
		ours[i] = spool_round(&sp, &seq);
		bare[i] = bare_round(dir);
	}
	spool_close(&sp);
	(void)unlinkat(dir, "bare", 0);
	qsort(ours, (size_t)rounds, sizeof(ours[0]), by_value);
	qsort(bare, (size_t)rounds, sizeof(bare[0]), by_value);
	(void)printf("spool: %.0f events/s (goal %d), bare write and "
		     "fdatasync %.0f, ratio %.2f\n",
	    ours[rounds / 2], GOAL, bare[rounds / 2],
	    ours[rounds / 2] / bare[rounds / 2]);
	return ours[rounds / 2] >= GOAL ? 0 : 1;
}
