/* SPDX-License-Identifier: ISC */
/*
 * The store thread: decides for every batch whether it goes to disk, stays
 * in memory for the publisher, or is dropped; and tells agentd's events
 * accepted when they are safe.
 */
#ifndef TELEMD_STORE_H
#define TELEMD_STORE_H

#include "telemd/pipeline.h"

struct store {
	struct pipeline *pipeline;
};

/* The thread's body: runs until pipeline->stop.  ARG: struct store. */
void *store_run(void *arg);

#endif
