/* SPDX-License-Identifier: ISC */
/*
 * Events as the world reads them (CONTRACT 6, aegis-events(7)): from agentd's
 * EVENT message to one JSON object.
 */
#ifndef COMMON_EVENT_H
#define COMMON_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/msg.h"
#include "common/jsonbuf.h"

/* What is lost when it must be. */
enum event_class {
	EVENT_DURABLE,   /* life cycle, rollback: spooled before accepted */
	EVENT_VIOLATION, /* from a ring: spooled when the broker is behind */
	EVENT_VOLATILE,  /* samples, heartbeats: dropped when it is behind */
};

enum event_class event_class(enum event_type type);

/* What every event says besides itself. */
struct event_context {
	const char *host_id;
	const char *agent_version;
	/* As agentd has it: without what telemd adds, which is seq and the
	 * heartbeat's counts.  Those below are not looked at then. */
	bool unnumbered;
	/* For heartbeats; arrays of EVENT_TYPE_MAX, totals. */
	const uint64_t *dropped;
	const uint64_t *sent;
	uint64_t violations_suppressed;
	uint64_t spooled_events;
	/*
	 * The numbers that an earlier telemd had given out but not seen
	 * delivered; 0, 0 where there are none.  They may be missing or come
	 * again under other numbers.
	 */
	uint64_t unsure_first;
	uint64_t unsure_last;
};

/*
 * Values of a message that came from agentd: 0, or -EINVAL when one is out
 * of its range, a string is not terminated or an identifier is none.
 */
int event_check(const struct msg_event *m) _must_check_;

/*
 * Append the event to OUT.  VERIFIER_LOG: LOG_LEN bytes of text, or NULL.
 * The caller looks at out->failed.
 */
void event_format(struct jsonbuf *out, const struct msg_event *m, uint64_t seq,
    const struct event_context *ctx, const char *verifier_log, size_t log_len);

/*
 * The telemetry object's members from "artifact_id" on, without its braces
 * and without "timestamp".
 */
void event_format_telemetry(struct jsonbuf *out, const char *artifact_id,
    const char *host_id, const char *status, const struct telemetry *t);

#endif
