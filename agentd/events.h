/* SPDX-License-Identifier: ISC */
/*
 * What agentd has to tell the world: events, numbered, kept until telemd has
 * accepted them (they are with the broker or in the spool), and said again to
 * a new telemd.  Samples and heartbeats are not kept: the next one says more.
 */
#ifndef AGENTD_EVENTS_H
#define AGENTD_EVENTS_H

#include <stdint.h>

#include "common/msg.h"

struct agent;
struct action;
struct artifact;
struct event_queue;

struct event_queue *events_new(void);
void events_free(struct event_queue *q);

/* An event of the fleet about an artifact. */
void events_add(struct agent *agent, const struct action *act);

/* A rollback of the history, whose artifact there may be no record of. */
struct snapshot_rollback;
void events_rollback(struct agent *agent, const struct snapshot_rollback *r);

/*
 * Something is wrong with an artifact that runs all the same: REASON is one
 * word for metadata.reason, TEXT says what.
 */
void events_problem(struct agent *agent, const struct artifact *a,
    const char *reason, const char *text);

/* The regular sign of life. */
void events_heartbeat(struct agent *agent);

/* A new telemd is ready: say again what was not accepted. */
void events_resend(struct agent *agent);

/* Give telemd what it has room for. */
void events_pump(struct agent *agent);

/* All up to NUMBER are accepted.  -EINVAL: that one was never sent. */
int events_accepted(struct event_queue *q, uint64_t number) _must_check_;

/* How many wait to be accepted. */
size_t events_waiting(const struct event_queue *q);

/* How many of TYPE were dropped before telemd could have them. */
uint64_t events_dropped(const struct event_queue *q, enum event_type type);

#endif
