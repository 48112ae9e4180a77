/* SPDX-License-Identifier: ISC */
#include "common/event.h"

#include "common/clock.h"
#include "common/snapshot.h"

enum event_class
event_class(enum event_type type)
{
	switch (type) {
	case EVENT_VIOLATION_REPORT:
		return EVENT_VIOLATION;
	case EVENT_PROGRAM_TELEMETRY:
	case EVENT_AGENT_HEARTBEAT:
		return EVENT_VOLATILE;
	default:
		return EVENT_DURABLE;
	}
}

int
event_check(const struct msg_event *m)
{
	/* A heartbeat is about none, an error may be about the agent. */
	bool optional =
	    m->type == EVENT_AGENT_HEARTBEAT || m->type == EVENT_PROGRAM_ERROR;

	if (m->type >= EVENT_TYPE_MAX || m->type == EVENT_VIOLATION_REPORT ||
	    m->status >= STATUS_MAX || m->unload_reason >= UNLOAD_MAX ||
	    m->rollback_reason >= ROLLBACK_REASON_MAX ||
	    m->threshold >= THRESHOLD_MAX ||
	    m->rollback_status >= ROLLBACK_STATUS_MAX ||
	    m->health > HEALTH_UNHEALTHY || m->wall_ns < 0)
		return -EINVAL;
	if (!(optional && m->artifact_id[0] == '\0') &&
	    !MSG_ID_OK(m->artifact_id))
		return -EINVAL;
	/* Text is escaped on its way out; it only has to end. */
	if (!str_is_terminated(m->name, sizeof(m->name)) ||
	    !str_is_terminated(m->version, sizeof(m->version)) ||
	    !str_is_terminated(m->reason, sizeof(m->reason)) ||
	    !str_is_terminated(m->error, sizeof(m->error)))
		return -EINVAL;
	return 0;
}

static void
put_key_string(struct jsonbuf *out, const char *key, const char *value)
{
	jsonbuf_lit(out, ",\"");
	jsonbuf_text(out, key);
	jsonbuf_lit(out, "\":");
	jsonbuf_string(out, value, strlen(value));
}

static void
put_key_u64(struct jsonbuf *out, const char *key, uint64_t value)
{
	jsonbuf_lit(out, ",\"");
	jsonbuf_text(out, key);
	jsonbuf_lit(out, "\":");
	jsonbuf_u64(out, value);
}

static void
put_key_double(struct jsonbuf *out, const char *key, double value)
{
	jsonbuf_lit(out, ",\"");
	jsonbuf_text(out, key);
	jsonbuf_lit(out, "\":");
	jsonbuf_double(out, value);
}

static void
put_key_optional(struct jsonbuf *out, const char *key, const char *value)
{
	if (value[0] != '\0')
		put_key_string(out, key, value);
}

void
event_format_telemetry(struct jsonbuf *out, const char *artifact_id,
    const char *host_id, const char *status, const struct telemetry *t)
{
	jsonbuf_lit(out, "\"artifact_id\":");
	jsonbuf_string(out, artifact_id, strlen(artifact_id));
	put_key_string(out, "host_id", host_id);
	put_key_string(out, "status", status);
	put_key_double(out, "cpu_percent", t->cpu_percent);
	put_key_u64(out, "memory_kb", t->memory_kb);
	put_key_u64(out, "packets_processed", t->packets_processed);
	put_key_u64(out, "violations", t->violations);
	put_key_u64(out, "errors", t->errors);
	put_key_double(out, "latency_ms", t->latency_ms);
}

static const char *
health_name(uint32_t health)
{
	static const char *const names[] = {
		[HEALTH_HEALTHY] = "healthy",
		[HEALTH_DEGRADED] = "degraded",
		[HEALTH_UNHEALTHY] = "unhealthy",
	};

	return names[health];
}

/* The head of "metadata", open for more members. */
static void
put_metadata_head(struct jsonbuf *out, const struct msg_event *m, uint64_t seq,
    const struct event_context *ctx)
{
	jsonbuf_lit(out, ",\"metadata\":{\"host_id\":");
	jsonbuf_string(out, ctx->host_id, strlen(ctx->host_id));
	put_key_string(out, "agent_version", ctx->agent_version);
	jsonbuf_lit(out, ",\"event_id\":");
	jsonbuf_uuid(out, m->event_id);
	if (!ctx->unnumbered)
		put_key_u64(out, "seq", seq);
	put_key_optional(out, "name", m->name);
	put_key_optional(out, "version", m->version);
}

static void
put_rollback(struct jsonbuf *out, const struct msg_event *m)
{
	put_key_string(out, "artifact_id", m->artifact_id);
	put_key_string(out, "rollback_reason",
	    rollback_reason_name((enum rollback_reason)m->rollback_reason));
	put_key_string(
	    out, "threshold", threshold_name((enum threshold)m->threshold));
	put_key_double(out, "value", m->value);
	put_key_double(out, "limit", m->limit);
	put_key_optional(out, "reason", m->reason);
	put_key_optional(out, "error", m->error);
}

/* Counts by event type; those that are 0 are left out. */
static void
put_counts(struct jsonbuf *out, const char *key, const uint64_t *counts)
{
	const char *comma = "";
	int i;

	jsonbuf_lit(out, ",\"");
	jsonbuf_text(out, key);
	jsonbuf_lit(out, "\":{");
	for (i = 0; i < EVENT_TYPE_MAX && counts != NULL; i++) {
		if (counts[i] == 0)
			continue;
		jsonbuf_text(out, comma);
		jsonbuf_lit(out, "\"");
		jsonbuf_text(out, event_type_name((enum event_type)i));
		jsonbuf_lit(out, "\":");
		jsonbuf_u64(out, counts[i]);
		comma = ",";
	}
	jsonbuf_lit(out, "}");
}

static void
put_heartbeat(struct jsonbuf *out, const struct msg_event *m,
    const struct event_context *ctx)
{
	int role;

	put_key_string(out, "health", health_name(m->health));
	put_key_u64(out, "loaded_programs", m->loaded_programs);
	jsonbuf_lit(out, ",\"uptime_sec\":");
	jsonbuf_i64(out, m->uptime_sec);
	jsonbuf_lit(out, ",\"worker_restarts\":{");
	for (role = PROC_FIRST_WORKER; role <= PROC_LAST_WORKER; role++) {
		if (role != PROC_FIRST_WORKER)
			jsonbuf_lit(out, ",");
		jsonbuf_lit(out, "\"");
		jsonbuf_text(out, proc_name((enum proc_role)role));
		jsonbuf_lit(out, "\":");
		jsonbuf_u64(out, m->worker_restarts[role]);
	}
	jsonbuf_lit(out, "}");
	if (ctx->unnumbered)
		return;
	put_counts(out, "sent", ctx->sent);
	put_counts(out, "dropped", ctx->dropped);
	put_key_u64(out, "violations_suppressed", ctx->violations_suppressed);
	put_key_u64(out, "spooled_events", ctx->spooled_events);
	if (ctx->unsure_last != 0) {
		jsonbuf_lit(out, ",\"seq_unsure\":{\"first\":");
		jsonbuf_u64(out, ctx->unsure_first);
		put_key_u64(out, "last", ctx->unsure_last);
		jsonbuf_lit(out, "}");
	}
}

static void
put_metadata(struct jsonbuf *out, const struct msg_event *m, uint64_t seq,
    const struct event_context *ctx)
{
	put_metadata_head(out, m, seq, ctx);
	switch (m->type) {
	case EVENT_PROGRAM_ERROR:
		put_key_string(out, "error", m->error);
		put_key_optional(out, "reason", m->reason);
		break;
	case EVENT_PROGRAM_UNLOADED:
		put_key_string(out, "reason",
		    unload_reason_name((enum unload_reason)m->unload_reason));
		put_key_optional(out, "detail", m->reason);
		put_key_optional(out, "error", m->error);
		break;
	case EVENT_PROGRAM_ROLLED_BACK:
		put_rollback(out, m);
		break;
	case EVENT_AGENT_HEARTBEAT:
		put_heartbeat(out, m, ctx);
		break;
	default:
		put_key_optional(out, "reason", m->reason);
		put_key_optional(out, "error", m->error);
		break;
	}
	jsonbuf_lit(out, "}");
}

/* agent.rollback.status has a shape of its own. */
static void
format_rollback_status(struct jsonbuf *out, const struct msg_event *m,
    uint64_t seq, const struct event_context *ctx)
{
	jsonbuf_lit(out, "{\"type\":\"rollback_status\",\"artifact_id\":");
	jsonbuf_string(out, m->artifact_id, strlen(m->artifact_id));
	put_key_string(out, "host_id", ctx->host_id);
	put_key_string(out, "reason",
	    rollback_reason_name((enum rollback_reason)m->rollback_reason));
	put_key_string(
	    out, "threshold", threshold_name((enum threshold)m->threshold));
	put_key_double(out, "value", m->value);
	jsonbuf_lit(out, ",\"timestamp\":");
	jsonbuf_time(out, m->wall_ns);
	put_key_string(out, "status",
	    rollback_status_name((enum rollback_status)m->rollback_status));
	put_key_string(out, "error", m->error);
	put_metadata_head(out, m, seq, ctx);
	put_key_double(out, "limit", m->limit);
	put_key_optional(out, "reason", m->reason);
	jsonbuf_lit(out, "}}");
}

/* What the AegisFlux orchestrator decodes at top level. */
static void
put_flat_telemetry(struct jsonbuf *out, const struct msg_event *m,
    const struct event_context *ctx)
{
	const struct telemetry *t = &m->telemetry;

	put_key_u64(out, "violations", t->violations);
	put_key_u64(out, "errors", t->errors);
	put_key_double(out, "latency_ms", t->latency_ms);
	put_key_u64(out, "packet_count", t->packets_processed);
	put_key_u64(out, "block_count", t->violations);
	put_key_string(out, "agent_version", ctx->agent_version);
	jsonbuf_lit(out, ",\"last_update\":");
	jsonbuf_time(out, m->wall_ns);
}

static const char *
data_status(const struct msg_event *m)
{
	if (m->type == EVENT_AGENT_HEARTBEAT)
		return health_name(m->health);
	if (m->type == EVENT_PROGRAM_ROLLED_BACK)
		return status_name(STATUS_ROLLED_BACK);
	return status_name((enum program_status)m->status);
}

void
event_format(struct jsonbuf *out, const struct msg_event *m, uint64_t seq,
    const struct event_context *ctx, const char *verifier_log, size_t log_len)
{
	if (m->type == EVENT_ROLLBACK_STATUS) {
		format_rollback_status(out, m, seq, ctx);
		return;
	}
	jsonbuf_lit(out, "{\"type\":\"");
	jsonbuf_text(out, event_type_name((enum event_type)m->type));
	jsonbuf_lit(out, "\",\"timestamp\":");
	jsonbuf_time(out, m->wall_ns);
	jsonbuf_lit(out, ",\"data\":{");
	event_format_telemetry(
	    out, m->artifact_id, ctx->host_id, data_status(m), &m->telemetry);
	jsonbuf_lit(out, ",\"timestamp\":");
	jsonbuf_time(out, m->wall_ns);
	if (verifier_log != NULL) {
		jsonbuf_lit(out, ",\"verifier_msg\":");
		jsonbuf_string(out, verifier_log, log_len);
	}
	jsonbuf_lit(out, "}");
	if (m->type == EVENT_PROGRAM_TELEMETRY)
		put_flat_telemetry(out, m, ctx);
	put_metadata(out, m, seq, ctx);
	jsonbuf_lit(out, "}");
}
