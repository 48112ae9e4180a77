/* SPDX-License-Identifier: ISC */
/*
 * Keeping programs where they should be: interfaces that come and go, and
 * links that are detached behind the agent's back.
 */
#ifndef AGENTD_PEER_LINKS_H
#define AGENTD_PEER_LINKS_H

struct agent;
struct artifact;
struct imsg;

/* Handlers of bpfd's channel. */
int links_handle_interfaces(struct imsg *m, void *ctx);
int links_handle_attached(struct imsg *m, void *ctx);
int links_handle_checked(struct imsg *m, void *ctx);

/* A has just been loaded: what its load could not know or do is made up. */
void links_settle(struct agent *agent, struct artifact *a);

/* A new bpfd is there and knows what runs: it is asked for what is missing. */
void links_resume(struct agent *agent);

/* With every sample: is all that should be attached still attached? */
void links_check(struct agent *agent);

#endif
