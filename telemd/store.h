/* SPDX-License-Identifier: ISC */
/*
 * The store thread: decides for every batch whether it goes to disk, stays
 * in memory for the publisher, or is dropped; and accepts agentd's events
 * when they are safe.
 */
#ifndef TELEMD_STORE_H
#define TELEMD_STORE_H

#include "telemd/pipeline.h"
#include "telemd/seqstate.h"
#include "telemd/spool.h"

struct store {
	struct pipeline *pipeline;
	struct spool *spool;
	struct seqstate *seqstate;
	bool failing; /* said already */
	bool full;    /* that was the reason: the bound was reached */
};

/* The thread's body: runs until pipeline->stop.  ARG: struct store. */
void *store_run(void *arg);

#endif
