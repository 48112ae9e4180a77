/* SPDX-License-Identifier: ISC */
#include "telemd/event_id.h"

#include "common/fnv.h"

/* splitmix64's finisher: every input bit reaches every output bit. */
static uint64_t
mix(uint64_t v)
{
	v ^= v >> 30;
	v *= UINT64_C(0xbf58476d1ce4e5b9);
	v ^= v >> 27;
	v *= UINT64_C(0x94d049bb133111eb);
	return v ^ v >> 31;
}

uint64_t
event_id_hash(const void *bytes, size_t len)
{
	return mix(fnv1a(FNV1A_INIT, bytes, len));
}

static void
put_be(uint8_t *out, uint64_t v, int bytes)
{
	while (bytes-- > 0) {
		out[bytes] = (uint8_t)v;
		v >>= 8;
	}
}

void
event_id_make(
    uint8_t out[16], uint64_t wall_ms, uint64_t source, uint64_t position)
{
	uint64_t high = mix(source + position);
	uint64_t low = mix(high ^ source);

	put_be(out, wall_ms, 6);
	put_be(out + 6, high, 2);
	put_be(out + 8, low, 8);
	out[6] = (uint8_t)(0x70 | (out[6] & 0x0f)); /* version 7 */
	out[8] = (uint8_t)(0x80 | (out[8] & 0x3f)); /* RFC 9562 variant */
}
