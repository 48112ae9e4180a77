/* SPDX-License-Identifier: ISC */
/*
 * Malformed entries, told once: a list that changes every minute and carries
 * the same bad entry all day is one line in the log.  Decides, logs nothing.
 */
#ifndef FETCHD_COMPLAINTS_H
#define FETCHD_COMPLAINTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/limits.h"

/* Lines that one list may bring; the rest is counted. */
#define COMPLAINTS_LINES 20

struct complaints {
	uint64_t known[AEGIS_LIST_ENTRIES]; /* of the list before */
	uint64_t now[AEGIS_LIST_ENTRIES];
	uint32_t known_count;
	uint32_t now_count;
	uint32_t lines;
	uint32_t unsaid;
};

/* A list begins. */
void complaints_begin(struct complaints *c);

/*
 * Entry INDEX, called ID ("": it has no name), is malformed, as ERROR says.
 * Is that worth a line: new since the list before, and there is room for one?
 */
bool complaints_add(struct complaints *c, uint32_t index, const char *id,
    const char *error) _must_check_;

/*
 * It is over, and was a list (else the known ones stay the known ones).
 * Returns how many new ones had no room.
 */
uint32_t complaints_end(struct complaints *c);

#endif
