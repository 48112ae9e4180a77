/* SPDX-License-Identifier: ISC */
/*
 * Keeping programs where they should be: interfaces that come and go, and
 * links that are detached behind the agent's back.
 */
#ifndef AGENTD_PEER_LINKS_H
#define AGENTD_PEER_LINKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/limits.h"

struct agent;
struct artifact;
struct custody;
struct custody_link;
struct imsg;

#define LINKS_PLACE_SIZE (AEGIS_TARGET_SIZE + 64)

/* "xdp on eth0", into TEXT, which it returns. */
const char *links_describe(const struct custody *c,
    const struct custody_link *link, char *text, size_t size);

/* Can A's links be looked at, and bpfd be asked to attach it? */
bool links_are_followed(const struct artifact *a);

/* Handlers of bpfd's channel. */
int links_handle_interfaces(struct imsg *m, void *ctx);
int links_handle_attached(struct imsg *m, void *ctx);
int links_handle_checked(struct imsg *m, void *ctx);

/* A has just been loaded: what its load could not know or do is made up. */
void links_settle(struct agent *agent, struct artifact *a);

/* A new bpfd is there and knows what runs: it is asked for what is missing. */
void links_resume(struct agent *agent);

/*
 * The closer's cookie for a link that is to be attached anew: this and the
 * artifact's handle; and what happens when it is closed.
 */
#define LINKS_COOKIE (UINT64_C(1) << 63)
void links_closed(struct agent *agent, uint64_t cookie);

/* With every sample: is all that should be attached still attached? */
void links_check(struct agent *agent);

#endif
