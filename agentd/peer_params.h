/* SPDX-License-Identifier: ISC */
/*
 * Other parameters for what runs, asked of bpfd.
 */
#ifndef AGENTD_PEER_PARAMS_H
#define AGENTD_PEER_PARAMS_H

#include <stdbool.h>

struct agent;
struct artifact;
struct imsg;

/*
 * Does the artifact A, verified, run already but for its parameters?  Then
 * bpfd is asked to change them: true; the answer loads A anew if it must be.
 */
bool peer_params_change(struct agent *agent, struct artifact *a);

/* Handler of bpfd's channel. */
int peer_params_handle_done(struct imsg *m, void *ctx);

#endif
