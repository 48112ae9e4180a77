/* SPDX-License-Identifier: ISC */
/*
 * Event ids: UUID version 7 (RFC 9562, section 5.7), so that they sort by
 * the time they were made.
 */
#ifndef COMMON_UUID_H
#define COMMON_UUID_H

#include <stdint.h>

#define UUID_TEXT_SIZE 37

/* A new UUIDv7 for the wall time WALL_NS. */
void uuid_make_v7(int64_t wall_ns, uint8_t out[16]);

/* Lower case with hyphens; OUT: UUID_TEXT_SIZE bytes. */
void uuid_format(const uint8_t uuid[16], char *out);

#endif
