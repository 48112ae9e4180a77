/* SPDX-License-Identifier: ISC */
#include "verifyd/base64.h"

#include <stdbool.h>

static int
sextet(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

int
base64_decode(
    const char *text, size_t len, uint8_t *out, size_t room, size_t *at)
{
	uint32_t group = 0;
	unsigned int have = 0, pads = 0;
	size_t n = 0, i;
	int v;

	for (i = 0; i < len; i++) {
		*at = i;
		if (text[i] == '\n' || text[i] == '\r')
			continue;
		if (text[i] == '=') {
			/* Padding stands only where a group lacks 1 or 2. */
			if (have + pads < 2 || have + pads > 3)
				return -EINVAL;
			pads++;
			continue;
		}
		v = sextet(text[i]);
		if (v < 0 || pads > 0)
			return -EINVAL;
		group = group << 6 | (uint32_t)v;
		if (++have < 4)
			continue;
		if (room - n < 3)
			return -EMSGSIZE;
		out[n++] = (uint8_t)(group >> 16);
		out[n++] = (uint8_t)(group >> 8);
		out[n++] = (uint8_t)group;
		group = 0;
		have = 0;
	}
	*at = len;
	if (have == 0)
		return pads == 0 ? (int)n : -EINVAL;
	if (have + pads != 4)
		return -EINVAL;
	/* Bits that no byte takes must be zero: one text for one value. */
	if ((group & (have == 2 ? 0xfu : 0x3u)) != 0)
		return -EINVAL;
	if (room - n < have - 1)
		return -EMSGSIZE;
	if (have == 2) {
		out[n++] = (uint8_t)(group >> 4);
	} else {
		out[n++] = (uint8_t)(group >> 10);
		out[n++] = (uint8_t)(group >> 2);
	}
	return (int)n;
}
