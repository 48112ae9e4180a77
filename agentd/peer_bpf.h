/* SPDX-License-Identifier: ISC */
/*
 * What agentd asks of bpfd.
 */
#ifndef AGENTD_PEER_BPF_H
#define AGENTD_PEER_BPF_H

struct agent;
struct artifact;

/* bpfd need not sample it any more. */
void peer_bpf_forget(struct agent *agent, const struct artifact *a);

/* Take a sample of all; answers come as fleet_sampled(). */
void peer_bpf_sample(struct agent *agent);

#endif
