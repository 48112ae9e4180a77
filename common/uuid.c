/* SPDX-License-Identifier: ISC */
#include "common/uuid.h"

#include <string.h>
#include <sys/random.h>

#include "common/clock.h"

void
uuid_make_v7(int64_t wall_ns, uint8_t out[16])
{
	uint64_t ms = (uint64_t)(wall_ns / NSEC_PER_MSEC);
	/* RFC 9562, 6.2 method 3: the 12 bits beside the milliseconds are
	 * their fraction, so that ids of one process sort within one. */
	uint64_t fraction =
	    (uint64_t)(wall_ns % NSEC_PER_MSEC) * 4096 / NSEC_PER_MSEC;
	size_t i;

	for (i = 0; i < 6; i++)
		out[i] = (uint8_t)(ms >> (40 - 8 * i));
	out[6] = (uint8_t)(0x70 | (fraction >> 8));
	out[7] = (uint8_t)fraction;
	/* Never blocks after boot, never short for 8 bytes. */
	if (getrandom(out + 8, 8, 0) != 8)
		memcpy(out + 8, &wall_ns, 8);
	out[8] = (uint8_t)(0x80 | (out[8] & 0x3f));
}

void
uuid_format(const uint8_t uuid[16], char *out)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		*out++ = digits[uuid[i] >> 4];
		*out++ = digits[uuid[i] & 15];
	}
	*out = '\0';
}
