/* SPDX-License-Identifier: ISC */
/*
 * How long to wait after the n-th failure in succession.
 */
#ifndef AGENTD_BACKOFF_H
#define AGENTD_BACKOFF_H

#include <stdint.h>

/*
 * FIRST, doubled with every further failure, at most CAP; ATTEMPT counts from
 * 1 (0: no wait).  All in nanoseconds.  Saturates instead of overflowing.
 */
int64_t backoff_ns(unsigned int attempt, int64_t first_ns, int64_t cap_ns);

#endif
