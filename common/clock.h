/* SPDX-License-Identifier: ISC */
/*
 * Two clocks and how they are written: CLOCK_BOOTTIME decides (TTL, delays,
 * back-off; it goes on in suspend and never steps), the wall clock is shown.
 */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

#define NSEC_PER_SEC  INT64_C(1000000000)
#define NSEC_PER_MSEC INT64_C(1000000)

/* Nanoseconds since boot. */
int64_t clock_boot_ns(void);

/* Nanoseconds since 1970-01-01T00:00:00Z. */
int64_t clock_wall_ns(void);

#define CLOCK_RFC3339_SIZE  sizeof("2006-01-02T15:04:05.000000Z")
#define CLOCK_DURATION_SIZE 32

/*
 * RFC 3339 in UTC with the fewest of 0, 3 or 6 decimals that lose nothing
 * above a microsecond: "2024-01-15T10:30:00Z".  OUT: CLOCK_RFC3339_SIZE.
 */
void clock_format_rfc3339(int64_t wall_ns, char *out);

/*
 * RFC 3339 as a registry may send it: 'T' or 't', fraction optional, 'Z' or
 * an offset.  -EINVAL if it is none.
 */
int clock_parse_rfc3339(const char *s, int64_t *wall_ns) _must_check_;

/*
 * "2h15m30s", "45s", "0s" as Go's time.Duration prints whole seconds;
 * negative durations are shown as "0s".  OUT: CLOCK_DURATION_SIZE.
 */
void clock_format_duration(int64_t sec, char *out);

#endif
