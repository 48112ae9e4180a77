/* SPDX-License-Identifier: ISC */
/*
 * A new version is swapped into the links of the one that runs, and then does
 * not come to be: its loader died in between, or could not undo it.  Those
 * links are given their own program back, in place and at once; agentd itself
 * may not do that (its sandbox), so the bpfd that is there is asked to.
 */
#ifndef AGENTD_PEER_RESTORE_H
#define AGENTD_PEER_RESTORE_H

struct agent;
struct artifact;
struct imsg;

/* Look at A's links, and have those that run another program put right. */
void restore_links(struct agent *agent, struct artifact *a);

/* A new bpfd is there and knows what runs: likewise for all.  What the one
 * before was asked for and did not answer is asked for again. */
void restore_all(struct agent *agent);

/* Handler of bpfd's channel. */
int restore_handle_restored(struct imsg *m, void *ctx);

#endif
