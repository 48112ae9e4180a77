/* SPDX-License-Identifier: ISC */
/*
 * What agentd asks of verifyd.
 */
#ifndef AGENTD_PEER_VERIFY_H
#define AGENTD_PEER_VERIFY_H

struct agent;
struct artifact;

/* Hand the trust anchors to verifyd, if it runs and they are known. */
void peer_verify_send_keys(struct agent *agent);

/* ACT_VERIFY: the answer comes as fleet_verified(). */
void peer_verify_start(struct agent *agent, struct artifact *a);

#endif
