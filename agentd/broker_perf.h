/* SPDX-License-Identifier: ISC */
/*
 * Perf events for bpfd, which may not open them: where perf_event_paranoid is
 * 3 that takes CAP_SYS_ADMIN, and for uprobes always.  Each is opened exactly
 * as a checked plan's fields say; what bpfd gets can only be a program's
 * place to run.
 */
#ifndef AGENTD_BROKER_PERF_H
#define AGENTD_BROKER_PERF_H

#include <stddef.h>
#include <stdint.h>

#include "agentd/probes.h"
#include "common/loadplan.h"

struct broker_event {
	uint32_t attach; /* index in the plan */
	uint32_t cpu;
	int fd; /* owned */
};

struct broker_events {
	struct broker_event *items;
	size_t count;
};

/*
 * Open the events of all attachments of PLAN that need one: one for each
 * processor where it samples, else one.  PROBES: where uprobes go, all looked
 * up; NULL: the plan has none.  0, or -errno with the reason in ERROR.
 */
int broker_open_events(const struct loadplan *plan, const struct probes *probes,
    struct broker_events *events, char *error, size_t size) _must_check_;

void broker_events_release(struct broker_events *events);

#endif
