/* SPDX-License-Identifier: ISC */
/*
 * UUIDv7 of violation events.  It is made from where the event lies, not
 * from a random number: an event that is read from its ring a second time,
 * because telemd died before the broker had it, gets the same id, and
 * whoever receives it twice can tell.
 */
#ifndef TELEMD_EVENT_ID_H
#define TELEMD_EVENT_ID_H

#include <stddef.h>
#include <stdint.h>

/* A number for LEN bytes: 64-bit FNV-1a, finished so that all bits count. */
uint64_t event_id_hash(const void *bytes, size_t len);

/*
 * WALL_MS: Unix time, 48 bits.  SOURCE: the ring's hash, the same for the
 * same ring in every telemd.  POSITION: the record's place in it.
 */
void event_id_make(
    uint8_t out[16], uint64_t wall_ms, uint64_t source, uint64_t position);

#endif
