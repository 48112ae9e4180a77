/* SPDX-License-Identifier: ISC */
/*
 * When to ask again: the interval with jitter, what the server wishes, and
 * back-off after failures.  Pure: the caller brings the clock and the random
 * number.
 */
#ifndef FETCHD_SCHEDULE_H
#define FETCHD_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"

/* Failures are never further apart than this, unless the server asks. */
#define SCHEDULE_BACKOFF_CAP_MS INT64_C(300000)

/* No wish of a server keeps us away for longer. */
#define SCHEDULE_WISH_CAP_MS INT64_C(3600000)

/* Nothing makes us ask more often. */
#define SCHEDULE_FLOOR_MS INT64_C(1000)

#define SCHEDULE_NO_WISH INT64_C(-1)

struct schedule {
	int64_t interval_ms;
	uint32_t failures; /* in succession */
	bool succeeded;    /* at least once since start */
};

/*
 * Milliseconds from now to the next request after one that went well.
 * WISH_MS: what the server wished (next_poll, Retry-After), from now, or
 * SCHEDULE_NO_WISH.  A wish is kept or exceeded by up to a tenth, never
 * undercut; without one it is the interval, give or take a tenth.
 */
int64_t schedule_success(struct schedule *s, int64_t wish_ms, uint32_t random);

/*
 * The same after a failure: twice as long each time, from the interval
 * (before the first success from a second, so that an agent that starts
 * before its network does not sit out a whole interval).
 */
int64_t schedule_failure(struct schedule *s, int64_t wish_ms, uint32_t random);

/*
 * A Retry-After header: seconds, or an HTTP date (IMF-fixdate) held against
 * WALL_NS.  *MS is 0 for a date that has passed.  -EINVAL.
 */
int schedule_parse_retry_after(
    const char *value, int64_t wall_ns, int64_t *ms) _must_check_;

#endif
