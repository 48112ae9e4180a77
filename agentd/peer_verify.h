/* SPDX-License-Identifier: ISC */
/*
 * What agentd asks of verifyd.
 */
#ifndef AGENTD_PEER_VERIFY_H
#define AGENTD_PEER_VERIFY_H

#include <stdint.h>

struct agent;
struct artifact;

/* Hand the trust anchors to verifyd, if it runs and they are known. */
void peer_verify_send_keys(struct agent *agent);

/*
 * Do keys from Vault come of an age, or are they confirmed again?  Whoever
 * changes them or their time, and the deadline timer, calls this.
 */
void peer_verify_check_keys(struct agent *agent);

/* When to call it, on the boot clock; INT64_MAX: never. */
int64_t peer_verify_keys_end(const struct agent *agent);

/* ACT_VERIFY: the answer comes as fleet_verified(). */
void peer_verify_start(struct agent *agent, struct artifact *a);

#endif
