/* SPDX-License-Identifier: ISC */
/*
 * A program's record (struct aegis_event, aegis-bpf(7)) as JSON.  This is
 * the hot path: fixed pieces are prepared once a ring, the rest is copied
 * and counted out by hand.
 */
#ifndef TELEMD_VIOLATION_H
#define TELEMD_VIOLATION_H

#include <stdint.h>

#include "common/cleanup.h"
#include "common/event.h"
#include "common/jsonbuf.h"

/* A record says at least when, what and in which cgroup. */
#define VIOLATION_MIN_LEN 24

struct violation_format {
	struct jsonbuf data_head;     /* up to "timestamp" in "data" */
	struct jsonbuf metadata_head; /* up to the event_id */
	int64_t second;               /* that `prefix` was made for */
	char prefix[20];              /* "2006-01-02T15:04:05" */
};

/* What is missing between an event and the one before it. */
struct violation_gap {
	uint64_t suppressed; /* over the rate limit */
	uint64_t lost;       /* found the ring full */
};

/* Prepare the fixed pieces; *STATUS and T as of the last sample. */
int violation_prepare(struct violation_format *f, const char *artifact_id,
    const char *name, const char *version, const char *host_id,
    const char *agent_version, const struct telemetry *t) _must_check_;
void violation_format_free(struct violation_format *f);

/*
 * 0 if LEN bytes at EVENT are a record that is understood, and *TIME_NS its
 * time on the boot clock; -EBADMSG if not.
 */
int violation_check(
    const void *event, uint32_t len, uint64_t *time_ns) _must_check_;

/*
 * Append the whole event to OUT.  EVENT has passed violation_check().
 * WALL_NS: its time.  GAP: how many of this program are missing since its last
 * one.
 */
void violation_append(struct jsonbuf *out, struct violation_format *f,
    const void *event, uint32_t len, int64_t wall_ns, uint64_t seq,
    const uint8_t *event_id, const struct violation_gap *gap);

/*
 * How many events the program could not write before this one; EVENT has
 * passed violation_check().
 */
uint64_t violation_lost(const void *event, uint32_t len);

#endif
