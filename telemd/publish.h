/* SPDX-License-Identifier: ISC */
/*
 * The publisher thread: events in the order of their numbers, from memory
 * and from both streams of the spool, to the broker.
 */
#ifndef TELEMD_PUBLISH_H
#define TELEMD_PUBLISH_H

#include "telemd/broker.h"
#include "telemd/pipeline.h"
#include "telemd/seqstate.h"
#include "telemd/spool.h"

/* What was read from a stream of the spool and is not published yet. */
struct publish_source {
	char *buf; /* SPOOL_READ_SIZE bytes */
	size_t off;
	size_t len;
};

struct publisher {
	struct pipeline *pipeline;
	struct broker *broker;
	struct spool *spool;
	struct seqstate *seqstate;
	char subject[AEGIS_ID_SIZE];
	struct publish_source sources[SPOOL_STREAMS];
	uint64_t published; /* up to here, on the connection of: */
	uint64_t epoch;
	uint64_t flushed;              /* up to here, the broker has it */
	size_t unconfirmed_bytes;      /* published after that, */
	int64_t unconfirmed_since;     /* the first of them at this time, */
	bool hurry;                    /* and some of them cannot wait */
	uint64_t sent[EVENT_TYPE_MAX]; /* since the last flush */
	uint64_t lost[EVENT_TYPE_MAX]; /* could not be read back */
};

/* The thread's body: runs until pipeline->stop.  ARG: struct publisher. */
void *publish_run(void *arg);

#endif
