/* SPDX-License-Identifier: ISC */
/*
 * The JSON documents of the HTTP API (CONTRACT 5), made from a snapshot.
 * apid answers with them and aegisctl -j prints them, so both always agree.
 * Only these two link json-c through this: the library is common_json_lib.
 */
#ifndef COMMON_RENDER_H
#define COMMON_RENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/snapshot.h"

struct json_object;

enum render_doc {
	RENDER_HEALTHZ = 0,
	RENDER_STATUS,
	RENDER_METRICS,
	RENDER_PROGRAMS,
	RENDER_ROLLBACKS,
	RENDER_TELEMETRY,
	RENDER_VERSION,
	RENDER_DOC_MAX
};

/*
 * The moment of rendering, on both clocks: ages (uptime, what is left of a
 * TTL) are differences of BOOT_NS; WALL_NS is only shown.
 */
struct render_now {
	int64_t wall_ns;
	int64_t boot_ns;
};

/* This moment. */
struct render_now render_clock(void);

/*
 * One document as compact JSON text with a newline at its end.  *OUT is
 * owned by the caller (free(3)), *LEN counts its bytes without the NUL.
 * 0 or -ENOMEM.
 */
int render_json(enum render_doc doc, const struct snapshot *snap,
    const struct render_now *now, char **out, size_t *len) _must_check_;

/*
 * One program as in /programs, and with VERBOSE the verifier's log too.
 * Owned by the caller (json_object_put); NULL when out of memory.
 */
struct json_object *render_program(const struct snapshot *snap,
    const struct snapshot_program *p, const struct render_now *now,
    bool verbose);

/* The workers as in /version: the same. */
struct json_object *render_workers(
    const struct snapshot *snap, const struct render_now *now);

/* ---- what the documents count, for other formats of the same numbers ---- */

struct render_totals {
	uint32_t in_kernel; /* loaded or running */
	uint32_t by_status[STATUS_MAX];
	double average_cpu_percent; /* over those in the kernel; 0 if none */
	uint64_t memory_kb;         /* of those in the kernel */
	uint64_t packets_processed; /* of all that are shown */
	uint64_t violations;
	uint64_t errors;
};
void render_count(const struct snapshot *snap, struct render_totals *totals);

/* True for a program whose code is in the kernel. */
bool render_in_kernel(const struct snapshot_program *p);

/* Whole seconds until P's TTL ends, 0 when it has; -1: it has no end. */
int64_t render_ttl_left(
    const struct snapshot_program *p, const struct render_now *now);

/* A counter that the object may not have (UINT64_MAX): 0 then. */
uint64_t render_counter(uint64_t value);

/* "healthy" "degraded" "unhealthy".  Static. */
const char *render_health_name(uint32_t health);

#endif
