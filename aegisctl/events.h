/* SPDX-License-Identifier: ISC */
/*
 * aegisctl events: what agentd tells telemd, as a line for people or as the
 * JSON object that goes to NATS.
 */
#ifndef AEGISCTL_EVENTS_H
#define AEGISCTL_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"

struct events_options {
	const char *socket;
	bool json;
	bool follow;
	uint32_t last; /* of those that were */
};

/*
 * Print events to standard output until there are no more: for ever, with
 * FOLLOW.  0 or -errno as client_ask() has them, with TEXT (SIZE) for people.
 */
int events_run(
    const struct events_options *o, char *text, size_t size) _must_check_;

#endif
