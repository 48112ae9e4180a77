/* SPDX-License-Identifier: ISC */
#include "agentd/telem_totals.h"

bool
telem_totals_is_sound(const struct msg_telem_state *state)
{
	uint64_t most = state->reconnects | state->bad_signals |
	    state->violations_suppressed | state->spooled_bytes |
	    state->spooled_events;
	int i;

	for (i = 0; i < EVENT_TYPE_MAX; i++)
		most |= state->sent[i] | state->dropped[i];
	return state->connected <= 1 && state->spool_full <= 1 &&
	    most < AEGIS_COUNT_MAX;
}

void
telem_totals_update(struct telem_totals *t, const struct msg_telem_state *state,
    bool dropped_kept)
{
	struct msg_telem_state *shown = &t->shown;
	struct msg_telem_state last = *shown;
	const struct msg_telem_state *ended = &t->ended;
	int i;

	*shown = *state;
	for (i = 0; i < EVENT_TYPE_MAX; i++) {
		shown->sent[i] += ended->sent[i];
		if (!dropped_kept)
			shown->dropped[i] += ended->dropped[i];
		else if (shown->dropped[i] < last.dropped[i])
			/* It died before it could write the last ones down. */
			shown->dropped[i] = last.dropped[i];
	}
	shown->reconnects += ended->reconnects;
	shown->bad_signals += ended->bad_signals;
	shown->violations_suppressed += ended->violations_suppressed;
}

void
telem_totals_end(struct telem_totals *t)
{
	t->shown.connected = 0;
	t->ended = t->shown;
}
