/* SPDX-License-Identifier: ISC */
/*
 * What agentd asks of bpfd.
 */
#ifndef AGENTD_PEER_BPF_H
#define AGENTD_PEER_BPF_H

#include "common/msg.h"

struct agent;
struct artifact;

/* ACT_LOAD: the answer comes as fleet_load_done(). */
void peer_bpf_load(struct agent *agent, struct artifact *a);

/* All that it waited for is there: to bpfd with it (peer_probe.h). */
void peer_bpf_send(struct agent *agent, struct artifact *a);

/* It cannot be loaded, which was found out before bpfd had anything of it. */
void peer_bpf_fail(struct agent *agent, struct artifact *a,
    enum work_result result, const char *error);

/* bpfd need not sample it any more. */
void peer_bpf_forget(struct agent *agent, const struct artifact *a);

/* Take a sample of all; answers come as fleet_sampled(). */
void peer_bpf_sample(struct agent *agent);

#endif
