/* SPDX-License-Identifier: ISC */
/*
 * The publisher thread: events in the order of their numbers, from memory
 * and from the spool, to the broker.
 */
#ifndef TELEMD_PUBLISH_H
#define TELEMD_PUBLISH_H

#include "telemd/broker.h"
#include "telemd/pipeline.h"

struct publisher {
	struct pipeline *pipeline;
	struct broker *broker;
	char subject[AEGIS_ID_SIZE];
	uint64_t published; /* up to here, on the connection of: */
	uint64_t epoch;
};

/* The thread's body: runs until pipeline->stop.  ARG: struct publisher. */
void *publish_run(void *arg);

#endif
