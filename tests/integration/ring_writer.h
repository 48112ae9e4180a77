/* SPDX-License-Identifier: ISC */
/*
 * For tests and benchmarks: a real BPF ring buffer and a BPF program that
 * writes events into it, run by BPF_PROG_TEST_RUN in a thread.  Needs root.
 */
#ifndef TESTS_INTEGRATION_RING_WRITER_H
#define TESTS_INTEGRATION_RING_WRITER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/imsg.h"
#include "common/limits.h"

struct ring_writer {
	int ring_fd; /* 0: not open */
	int count_fd;
	int prog_fd;
	uint32_t bytes;
	char artifact_id[AEGIS_ID_SIZE];
	pthread_t thread;
	bool running;
	uint64_t want;
	uint64_t rate; /* events a second; 0: as fast as it goes */
};

/* A ring of BYTES and its program; nothing is written yet.  0 or -errno. */
int ring_writer_open(struct ring_writer *w, const char *artifact_id,
    uint32_t bytes) _must_check_;

/* Send RING_ADD and RING_LOST with id ID + 1 over CH. */
int ring_writer_announce(
    struct ring_writer *w, struct imsg_channel *ch, uint64_t id) _must_check_;

/* Write COUNT events in a thread of its own; waits for an earlier one. */
void ring_writer_start(struct ring_writer *w, uint64_t count, uint64_t rate);

/* Events the program made, those of them that found the ring full, and
 * bytes that wait in the ring. */
uint64_t ring_writer_written(const struct ring_writer *w);
uint64_t ring_writer_lost(const struct ring_writer *w);
uint64_t ring_writer_pending(const struct ring_writer *w);

void ring_writer_close(struct ring_writer *w);

#endif
