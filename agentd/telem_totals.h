/* SPDX-License-Identifier: ISC */
/*
 * What all telemds of this agentd have counted: each of them begins at zero,
 * and what is shown to the world never goes back.  Pure.
 */
#ifndef AGENTD_TELEM_TOTALS_H
#define AGENTD_TELEM_TOTALS_H

#include <stdbool.h>

#include "common/msg.h"

struct telem_totals {
	struct msg_telem_state ended; /* sums over those that are gone */
	struct msg_telem_state shown; /* these, and the one that lives */
};

/* Can it have counted that?  Sums of what is sound do not overflow. */
bool telem_totals_is_sound(const struct msg_telem_state *state);

/*
 * The living telemd's last word, STATE, becomes T->shown.  DROPPED_KEPT: it
 * has a spool directory, and there the counts of dropped events outlive it.
 */
void telem_totals_update(struct telem_totals *t,
    const struct msg_telem_state *state, bool dropped_kept);

/* It is gone: the next one begins at zero. */
void telem_totals_end(struct telem_totals *t);

#endif
