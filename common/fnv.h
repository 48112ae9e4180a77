/* SPDX-License-Identifier: ISC */
/*
 * 64-bit FNV-1a: tells bytes apart where those who make them collide gain
 * nothing.
 */
#ifndef COMMON_FNV_H
#define COMMON_FNV_H

#include <stddef.h>
#include <stdint.h>

#define FNV1A_INIT UINT64_C(0xcbf29ce484222325)

/* Go on from H, at first FNV1A_INIT, with LEN bytes at DATA. */
static inline uint64_t
fnv1a(uint64_t h, const void *data, size_t len)
{
	const unsigned char *p = data;

	while (len-- > 0)
		h = (h ^ *p++) * UINT64_C(0x100000001b3);
	return h;
}

#endif
