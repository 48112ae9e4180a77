/* SPDX-License-Identifier: ISC */
/*
 * A bucket of tokens: so many a second, with a burst of one second's worth.
 */
#ifndef COMMON_RATELIMIT_H
#define COMMON_RATELIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct ratelimit {
	uint32_t rate; /* a second; 0: no limit */
	int64_t
	    tokens_ns; /* nanoseconds saved up; one token costs 1e9 / rate */
	int64_t last_ns;
};

/* A full bucket. */
void ratelimit_init(struct ratelimit *rl, uint32_t rate, int64_t now_ns);

/* Time has passed: once before a burst of ratelimit_take(). */
void ratelimit_refill(struct ratelimit *rl, int64_t now_ns);

/* True, and a token less, while there are any. */
bool ratelimit_take(struct ratelimit *rl);

#endif
