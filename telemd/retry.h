/* SPDX-License-Identifier: ISC */
/*
 * How long to wait before the broker is tried again.  Hosts that lost it
 * together do not come back together.
 */
#ifndef TELEMD_RETRY_H
#define TELEMD_RETRY_H

#include <stdint.h>

/*
 * BASE_MS and up to half of it more, as NOISE has it: any number that differs
 * between hosts and from one time to the next, as nanoseconds do.
 */
unsigned int retry_wait_ms(unsigned int base_ms, uint64_t noise);

#endif
