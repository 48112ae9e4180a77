/* SPDX-License-Identifier: ISC */
/*
 * Malformed entries, logged once: a list that changes every minute and
 * carries the same bad entry all day is one line in the log.
 */
#ifndef FETCHD_COMPLAINTS_H
#define FETCHD_COMPLAINTS_H

#include <stdint.h>

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

/* An entry is malformed; CTX is the struct complaints. */
void complaints_entry(
    uint32_t index, const char *id, const char *error, void *ctx);

/* It is over, and was a list (else the known ones stay the known ones). */
void complaints_end(struct complaints *c);

#endif
