/* SPDX-License-Identifier: ISC */
/*
 * Two plans of one object: do they differ in the values of parameters alone,
 * and if so, what is to be written to go from the one to the other?
 *
 * Both plans have passed loadplan_check().  Nothing here touches a map.
 */
#ifndef BPFD_PLANDIFF_H
#define BPFD_PLANDIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/loadplan.h"

/*
 * What would change but values (static, a sentence), a difference that
 * only loading anew can make; NULL: nothing.
 */
const char *plandiff_shape(
    const struct loadplan *from, const struct loadplan *to);

/* One element of a map, as it shall be. */
struct plandiff_element {
	uint32_t map;         /* index in the plans */
	const uint8_t *key;   /* in one of the plans; key_size bytes */
	const uint8_t *value; /* in TO; NULL: no parameter writes it */
	const uint8_t *old;   /* in FROM; NULL: none did */
};

/*
 * The elements whose value is another in TO than in FROM, where the last
 * write of a key counts: first those that go, since a map may be full.  Keys
 * of an LPM trie are the same when the bits of their prefix are.
 * *OUT is the caller's (free()), and points into the plans.  0 or -ENOMEM.
 */
int plandiff_elements(const struct loadplan *from, const struct loadplan *to,
    struct plandiff_element **out, size_t *count) _must_check_;

/* Global variables of one internal map: the whole value, of value_size. */
struct plandiff_globals {
	uint8_t *value; /* the bytes that parameters wrote; else 0 */
	bool *written;  /* which those are */
};

/* Of map MAP in PLAN; 0 or -ENOMEM. */
int plandiff_globals(const struct loadplan *plan, uint32_t map,
    struct plandiff_globals *out) _must_check_;
void plandiff_globals_free(struct plandiff_globals *g);

#endif
