/* SPDX-License-Identifier: ISC */
/*
 * telemd's main thread: the one that talks to agentd.
 */
#ifndef TELEMD_TELEMD_H
#define TELEMD_TELEMD_H

#include <event2/event.h>

#include "common/worker.h"
#include "telemd/broker.h"
#include "telemd/pipeline.h"
#include "telemd/publish.h"
#include "telemd/rings.h"
#include "telemd/seqstate.h"
#include "telemd/sigcheck.h"
#include "telemd/spool.h"
#include "telemd/store.h"

struct pending_signal {
	TAILQ_ENTRY(pending_signal) entry;
	uint64_t id;
	char reply[PIPELINE_SUBJECT_LEN];
};

TAILQ_HEAD(pending_signals, pending_signal);

struct telemd {
	struct worker worker;
	bool configured;
	char agent_version[32];
	uint32_t violation_rate;
	uint64_t spool_max_bytes;
	int spool_dir; /* -1: none */

	struct pipeline pipeline;
	struct broker broker;
	struct publisher publisher;
	struct store store;
	struct spool spool;
	struct seqstate seqstate;
	struct seqstate_begin begin;
	pthread_t publish_thread;
	pthread_t store_thread;
	bool threads_running;
	bool stuck; /* a thread did not end in time */

	uint64_t next_seq;
	uint64_t last_accepted;
	/* event_ids in the spool at start: agentd may send them again */
	uint8_t (*known)[16];
	size_t known_count;
	struct rings rings;
	bool signals_signed; /* AGENT_ROLLBACK_SIGNAL_KEY is set */
	struct sigcheck sigcheck;
	struct pending_signals pending;
	uint64_t next_signal_id;
	unsigned int pending_count;
	struct event *wake_event;
	struct event *state_event;
	struct msg_telem_state last_state;
};

/* events.c: agentd's events, and what the spool held at start. */
int events_handle(struct imsg *m, void *ctx);
int events_open_spool(struct telemd *t);
void events_close_spool(struct telemd *t);
void events_report_accepted(struct telemd *t);

/* signals.c: what came from the orchestrator goes to agentd, and back. */
void signals_init(struct telemd *t);
void signals_forward(struct telemd *t);
int signals_handle_reply(struct imsg *m, void *ctx);
void signals_free(struct telemd *t);

#endif
