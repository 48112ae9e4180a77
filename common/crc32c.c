/* SPDX-License-Identifier: ISC */
#include "common/crc32c.h"

#include <stdbool.h>

#define POLYNOMIAL 0x82f63b78u /* 0x1edc6f41, bits reversed */

/*
 * Eight tables, so that eight bytes are taken at a time ("slicing by 8"):
 * made once, by whoever comes first.  Two threads that make them at once
 * write the same numbers.
 */
static uint32_t tables[8][256];
static bool made;

static void
make_tables(void)
{
	uint32_t i, k, c;

	for (i = 0; i < 256; i++) {
		c = i;
		for (k = 0; k < 8; k++)
			c = (c & 1) != 0 ? c >> 1 ^ POLYNOMIAL : c >> 1;
		tables[0][i] = c;
	}
	for (i = 0; i < 256; i++)
		for (k = 1; k < 8; k++)
			tables[k][i] = tables[k - 1][i] >> 8 ^
			    tables[0][tables[k - 1][i] & 0xff];
	__atomic_store_n(&made, true, __ATOMIC_RELEASE);
}

uint32_t
crc32c(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;

	if (!__atomic_load_n(&made, __ATOMIC_ACQUIRE))
		make_tables();
	crc = ~crc;
	for (; len >= 8; p += 8, len -= 8) {
		uint32_t lo = crc ^
		    ((uint32_t)p[0] | (uint32_t)p[1] << 8 |
			(uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);

		crc = tables[7][lo & 0xff] ^ tables[6][lo >> 8 & 0xff] ^
		    tables[5][lo >> 16 & 0xff] ^ tables[4][lo >> 24] ^
		    tables[3][p[4]] ^ tables[2][p[5]] ^ tables[1][p[6]] ^
		    tables[0][p[7]];
	}
	for (; len > 0; p++, len--)
		crc = crc >> 8 ^ tables[0][(crc ^ *p) & 0xff];
	return ~crc;
}
