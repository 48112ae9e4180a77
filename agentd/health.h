/* SPDX-License-Identifier: ISC */
/*
 * What is wrong with the agent just now, and with whom: for /healthz,
 * "aegisctl status" and heartbeats.  Pure.
 */
#ifndef AGENTD_HEALTH_H
#define AGENTD_HEALTH_H

#include <stddef.h>

#include "agentd/artifact.h"
#include "common/snapshot.h"

struct agent;

#define HEALTH_REASONS_MAX 32

/* Into REASONS, MAX at most, what is wrong at NOW.  Returns how many. */
size_t health_find(const struct agent *agent, struct moment now,
    struct snapshot_reason *reasons, size_t max);

/* What COUNT reasons make of the agent as a whole. */
enum snapshot_health health_of(
    const struct snapshot_reason *reasons, size_t count);

#endif
