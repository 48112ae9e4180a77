/* SPDX-License-Identifier: ISC */
#include "telemd/retry.h"

unsigned int
retry_wait_ms(unsigned int base_ms, uint64_t noise)
{
	/* The upper half of the product: near numbers come far apart. */
	noise = noise * UINT64_C(0x9e3779b97f4a7c15) >> 32;
	return base_ms + (unsigned int)(noise % (base_ms / 2 + 1));
}
