/* SPDX-License-Identifier: ISC */
/*
 * A load: what goes to bpfd for it, or why nothing does.  What comes back is
 * peer_bpf.c's.
 */
#ifndef AGENTD_PEER_LOAD_H
#define AGENTD_PEER_LOAD_H

#include "common/msg.h"

struct agent;
struct artifact;

/* ACT_LOAD: the answer comes as fleet_load_done(). */
void peer_load_start(struct agent *agent, struct artifact *a);

/* All that it waited for is there: to bpfd with it (peer_probe.h). */
void peer_load_send(struct agent *agent, struct artifact *a);

/* It cannot be loaded, which was found out before bpfd had anything of it. */
void peer_load_fail(struct agent *agent, struct artifact *a,
    enum work_result result, const char *error);

#endif
