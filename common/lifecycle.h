/* SPDX-License-Identifier: ISC */
/*
 * The words of the life cycle as the world sees them (CONTRACT 4 and 6):
 * one numbering for messages, snapshots and events, one spelling for each.
 */
#ifndef COMMON_LIFECYCLE_H
#define COMMON_LIFECYCLE_H

#include <stdint.h>

enum program_status {
	STATUS_DISCOVERED = 0, /* shown as "loading" where JSON has six words */
	STATUS_DOWNLOADING,
	STATUS_VERIFYING,
	STATUS_LOADING,
	STATUS_LOADED, /* in the kernel, not sampled yet */
	STATUS_RUNNING,
	STATUS_UNLOADING,
	STATUS_UNLOADED,
	STATUS_EXPIRED,
	STATUS_ROLLED_BACK,
	STATUS_FAILED,
	STATUS_MAX
};

/* The JSON word: loading loaded running failed unloading unloaded
 * rolled_back.  Static. */
const char *status_name(enum program_status status);

/* The stage in full: discovered downloading verifying ... Static. */
const char *status_stage(enum program_status status);

enum unload_reason {
	UNLOAD_NONE = 0,
	UNLOAD_TTL_EXPIRED,
	UNLOAD_SHUTDOWN,
	UNLOAD_WITHDRAWN,
	UNLOAD_REPLACED,
	UNLOAD_EVICTED,
	UNLOAD_ROLLED_BACK,
	UNLOAD_OPERATOR,
	UNLOAD_MAX
};
const char *unload_reason_name(enum unload_reason reason);

enum rollback_reason {
	ROLLBACK_TELEMETRY_THRESHOLD = 0,
	ROLLBACK_VERIFIER_FAILURE,
	ROLLBACK_HIGH_CPU,
	ROLLBACK_ORCHESTRATOR_SIGNAL,
	ROLLBACK_MANUAL,
	ROLLBACK_TTL_EXPIRED,
	ROLLBACK_REASON_MAX
};
const char *rollback_reason_name(enum rollback_reason reason);

enum threshold {
	THRESHOLD_NONE = 0,
	THRESHOLD_MAX_ERRORS,
	THRESHOLD_MAX_VIOLATIONS,
	THRESHOLD_MAX_CPU_PERCENT,
	THRESHOLD_MAX_LATENCY_MS,
	THRESHOLD_MAX_MEMORY_KB,
	THRESHOLD_VERIFIER_FAILURE,
	THRESHOLD_MAX
};
/* "" for THRESHOLD_NONE. */
const char *threshold_name(enum threshold threshold);

enum rollback_status {
	ROLLBACK_NOT = 0,
	ROLLBACK_INITIATED,
	ROLLBACK_IN_PROGRESS,
	ROLLBACK_COMPLETED,
	ROLLBACK_FAILED,
	ROLLBACK_STATUS_MAX
};
const char *rollback_status_name(enum rollback_status status);

enum event_type {
	EVENT_PROGRAM_LOADED = 0,
	EVENT_PROGRAM_UNLOADED,
	EVENT_PROGRAM_ERROR,
	EVENT_PROGRAM_TELEMETRY,
	EVENT_PROGRAM_ROLLED_BACK,
	EVENT_VIOLATION_REPORT,
	EVENT_AGENT_HEARTBEAT,
	EVENT_ROLLBACK_STATUS, /* goes to agent.rollback.status */
	EVENT_TYPE_MAX
};
const char *event_type_name(enum event_type type);

/* One sample of one artifact: CONTRACT 5's "telemetry" object. */
struct telemetry {
	double cpu_percent; /* of one CPU, over the last sample period */
	double latency_ms;  /* mean run time per invocation over it */
	uint64_t memory_kb; /* kernel memory of programs and maps */
	uint64_t packets_processed; /* totals since load from here on */
	uint64_t violations;
	uint64_t errors;
	uint64_t run_count;
	uint64_t run_time_ns;
};

#endif
