/* SPDX-License-Identifier: ISC */
/*
 * What agentd asks of bpfd.
 */
#ifndef AGENTD_PEER_BPF_H
#define AGENTD_PEER_BPF_H

struct agent;
struct artifact;

/* ACT_LOAD: the answer comes as fleet_load_done(). */
void peer_bpf_load(struct agent *agent, struct artifact *a);

/* bpfd need not sample it any more. */
void peer_bpf_forget(struct agent *agent, const struct artifact *a);

/* Take a sample of all; answers come as fleet_sampled(). */
void peer_bpf_sample(struct agent *agent);

/* A new telemd is ready: the event rings of all that runs go to it. */
void peer_bpf_hand_over_rings(struct agent *agent);

#endif
