/* SPDX-License-Identifier: ISC */
#include "common/lifecycle.h"

#include "common/cleanup.h"

#define LOOKUP(names, i)                                                       \
	((size_t)(i) < nitems(names) && names[i] != NULL ? names[i] : "unknown")

const char *
status_name(enum program_status status)
{
	static const char *const names[STATUS_MAX] = {
		[STATUS_DISCOVERED] = "loading",
		[STATUS_DOWNLOADING] = "loading",
		[STATUS_VERIFYING] = "loading",
		[STATUS_LOADING] = "loading",
		[STATUS_LOADED] = "loaded",
		[STATUS_RUNNING] = "running",
		[STATUS_UNLOADING] = "unloading",
		[STATUS_UNLOADED] = "unloaded",
		[STATUS_EXPIRED] = "unloaded",
		[STATUS_ROLLED_BACK] = "rolled_back",
		[STATUS_FAILED] = "failed",
	};
	return LOOKUP(names, status);
}

const char *
status_stage(enum program_status status)
{
	static const char *const names[STATUS_MAX] = {
		[STATUS_DISCOVERED] = "discovered",
		[STATUS_DOWNLOADING] = "downloading",
		[STATUS_VERIFYING] = "verifying",
		[STATUS_LOADING] = "loading",
		[STATUS_LOADED] = "loaded",
		[STATUS_RUNNING] = "running",
		[STATUS_UNLOADING] = "unloading",
		[STATUS_UNLOADED] = "unloaded",
		[STATUS_EXPIRED] = "expired",
		[STATUS_ROLLED_BACK] = "rolled_back",
		[STATUS_FAILED] = "failed",
	};
	return LOOKUP(names, status);
}

const char *
unload_reason_name(enum unload_reason reason)
{
	static const char *const names[UNLOAD_MAX] = {
		[UNLOAD_NONE] = "",
		[UNLOAD_TTL_EXPIRED] = "ttl_expired",
		[UNLOAD_SHUTDOWN] = "shutdown",
		[UNLOAD_WITHDRAWN] = "withdrawn",
		[UNLOAD_REPLACED] = "replaced",
		[UNLOAD_EVICTED] = "evicted",
		[UNLOAD_ROLLED_BACK] = "rolled_back",
		[UNLOAD_OPERATOR] = "operator",
	};
	return LOOKUP(names, reason);
}

const char *
rollback_reason_name(enum rollback_reason reason)
{
	static const char *const names[ROLLBACK_REASON_MAX] = {
		[ROLLBACK_TELEMETRY_THRESHOLD] = "telemetry_threshold",
		[ROLLBACK_VERIFIER_FAILURE] = "verifier_failure",
		[ROLLBACK_HIGH_CPU] = "high_cpu",
		[ROLLBACK_ORCHESTRATOR_SIGNAL] = "orchestrator_signal",
		[ROLLBACK_MANUAL] = "manual",
		[ROLLBACK_TTL_EXPIRED] = "ttl_expired",
	};
	return LOOKUP(names, reason);
}

const char *
threshold_name(enum threshold threshold)
{
	static const char *const names[THRESHOLD_MAX] = {
		[THRESHOLD_NONE] = "",
		[THRESHOLD_MAX_ERRORS] = "max_errors",
		[THRESHOLD_MAX_VIOLATIONS] = "max_violations",
		[THRESHOLD_MAX_CPU_PERCENT] = "max_cpu_percent",
		[THRESHOLD_MAX_LATENCY_MS] = "max_latency_ms",
		[THRESHOLD_MAX_MEMORY_KB] = "max_memory_kb",
		[THRESHOLD_VERIFIER_FAILURE] = "verifier_failure",
	};
	return LOOKUP(names, threshold);
}

const char *
rollback_status_name(enum rollback_status status)
{
	static const char *const names[ROLLBACK_STATUS_MAX] = {
		[ROLLBACK_NOT] = "",
		[ROLLBACK_INITIATED] = "initiated",
		[ROLLBACK_IN_PROGRESS] = "in_progress",
		[ROLLBACK_COMPLETED] = "completed",
		[ROLLBACK_FAILED] = "failed",
	};
	return LOOKUP(names, status);
}

const char *
event_type_name(enum event_type type)
{
	static const char *const names[EVENT_TYPE_MAX] = {
		[EVENT_PROGRAM_LOADED] = "program_loaded",
		[EVENT_PROGRAM_UNLOADED] = "program_unloaded",
		[EVENT_PROGRAM_ERROR] = "program_error",
		[EVENT_PROGRAM_TELEMETRY] = "program_telemetry",
		[EVENT_PROGRAM_ROLLED_BACK] = "program_rolled_back",
		[EVENT_VIOLATION_REPORT] = "violation_report",
		[EVENT_AGENT_HEARTBEAT] = "agent_heartbeat",
		[EVENT_ROLLBACK_STATUS] = "rollback_status",
	};
	return LOOKUP(names, type);
}
