/* SPDX-License-Identifier: ISC */
/*
 * Snapshots as agentd publishes them, made up: for the tests of what reads
 * them.
 */
#ifndef TESTS_UNIT_SYNTHETIC_H
#define TESTS_UNIT_SYNTHETIC_H

#include <stddef.h>
#include <stdint.h>

#include "common/snapshot.h"

struct synthetic {
	uint64_t generation;
	uint64_t content;
	const char *host_id;
	uint32_t health;   /* with reasons where it is not healthy */
	uint32_t programs; /* artifact-000, artifact-001, ... */
	/* 0: all run; 1: one of each stage in turn, with errors, verifier
	 * logs, awkward text, a program without TTL */
	uint32_t mixed;
	uint32_t rollbacks;
	int64_t boot_ns; /* when it was taken */
	int64_t wall_ns;
	int64_t uptime_sec;
	int64_t ttl_sec; /* of the programs; half of it is over */
	double beat;     /* moves the counters */
};

/*
 * Fill in a snapshot; *BYTES is owned by the caller (free(3)).  It passes
 * snapshot_check().  Aborts when out of memory: this is for tests.
 */
void synthetic_snapshot(
    const struct synthetic *spec, void **bytes, size_t *len);

#endif
