/* SPDX-License-Identifier: ISC */
/*
 * What a load needs before bpfd can begin: functions looked up by verifyd,
 * and perf events opened by the broker.
 */
#ifndef AGENTD_PEER_PROBE_H
#define AGENTD_PEER_PROBE_H

#include <stddef.h>

#include "agentd/broker_perf.h"
#include "common/imsg.h"

struct agent;
struct artifact;

/*
 * Ask verifyd where A's uprobes go.  0: there is nothing to ask; 1: when all
 * answers are there, peer_load_send() or peer_load_fail() is called; -errno
 * with the reason in ERROR.
 */
int peer_probe_ask(struct agent *agent, struct artifact *a, char *error,
    size_t size) _must_check_;

/* VERIFY_SYMBOL_AT, for verifyd's table. */
int peer_probe_handle_symbol(struct imsg *m, void *ctx);

/* verifyd died: loads that waited for it are tried again. */
void peer_probe_verifyd_died(struct agent *agent);

/* Open A's perf events.  0, or -errno with the reason in ERROR. */
int peer_probe_open(struct artifact *a, struct broker_events *events,
    char *error, size_t size) _must_check_;

/* They go to bpfd (consumed). */
int peer_probe_send(struct imsg_channel *ch, const struct artifact *a,
    struct broker_events *events) _must_check_;

#endif
