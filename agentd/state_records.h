/* SPDX-License-Identifier: ISC */
/*
 * Between state.c and state_file.c only: bare records, found or made, without
 * the rest that state_artifact_put() and state_name_accept() do.
 */
#ifndef AGENTD_STATE_RECORDS_H
#define AGENTD_STATE_RECORDS_H

#include "agentd/state.h"

/* NULL: no memory, or an id or name that does not fit. */
struct state_artifact *state_insert_artifact(
    struct state *s, const char *artifact_id, const uint8_t *sha256);
struct state_name *state_insert_name(struct state *s, const char *name);

#endif
