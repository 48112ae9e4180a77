/* SPDX-License-Identifier: ISC */
#include "apid/prometheus.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"

struct writer {
	FILE *f;
	bool openmetrics;
	const char *name;   /* of the family being written */
	const char *suffix; /* "_total" for a counter, else "" */
};

enum family_type { FAMILY_GAUGE, FAMILY_COUNTER, FAMILY_HISTOGRAM };

/* Up to this many labels a sample; a NULL name ends them. */
#define LABELS_MAX 4

struct label {
	const char *name;
	const char *value;
};

/*
 * Open a family.  NAME is without _total: OpenMetrics calls a counter's
 * family so, the older format by the name of its samples.
 */
static void
family(
    struct writer *w, enum family_type type, const char *name, const char *help)
{
	static const char *const words[] = { "gauge", "counter", "histogram" };
	const char *tail;

	w->name = name;
	w->suffix = type == FAMILY_COUNTER ? "_total" : "";
	tail = w->openmetrics ? "" : w->suffix;
	(void)fprintf(w->f, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, tail,
	    help, name, tail, words[type]);
}

/* A label's value: backslash, quote and newline are escaped in both. */
static void
put_escaped(FILE *f, const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s == '\\' || *s == '"')
			(void)fputc('\\', f);
		if (*s == '\n')
			(void)fputs("\\n", f);
		else
			(void)fputc(*s, f);
	}
}

static void
put_name(struct writer *w, const char *suffix, const struct label *labels)
{
	int i;

	(void)fprintf(w->f, "%s%s", w->name, suffix);
	for (i = 0; labels != NULL && i < LABELS_MAX && labels[i].name != NULL;
	     i++) {
		(void)fprintf(
		    w->f, "%s%s=\"", i == 0 ? "{" : ",", labels[i].name);
		put_escaped(w->f, labels[i].value);
		(void)fputc('"', w->f);
	}
	(void)fputs(i > 0 ? "} " : " ", w->f);
}

static void
sample(struct writer *w, const struct label *labels, double value)
{
	put_name(w, w->suffix, labels);
	(void)fprintf(w->f, "%.15g\n", isfinite(value) ? value : 0.0);
}

static void
sample_u64(struct writer *w, const struct label *labels, uint64_t value)
{
	put_name(w, w->suffix, labels);
	(void)fprintf(w->f, "%" PRIu64 "\n", value);
}

static void
sample_word(
    struct writer *w, const char *label, const char *word, uint64_t value)
{
	const struct label labels[LABELS_MAX] = { { label, word } };

	sample_u64(w, labels, value);
}

/* A family of one sample without labels. */
static void
single(struct writer *w, enum family_type type, const char *name,
    const char *help, double value)
{
	family(w, type, name, help);
	sample(w, NULL, value);
}

static void
write_agent(
    struct writer *w, const struct snapshot *snap, const struct render_now *now)
{
	const struct snapshot_header *h = snap->header;
	const struct label build[LABELS_MAX] = {
		{ "version", h->agent_version },
		{ "architecture", h->architecture },
		{ "kernel", h->kernel_release },
		{ "host_id", h->host_id },
	};
	int64_t up = now->boot_ns - h->started_boot_ns;
	uint32_t health;

	family(w, FAMILY_GAUGE, "aegisflux_build_info",
	    "The agent that answers; always 1.");
	sample_u64(w, build, 1);
	single(w, FAMILY_GAUGE, "aegisflux_start_time_seconds",
	    "When the agent was started, since the epoch.",
	    (double)h->started_wall_ns / 1e9);
	single(w, FAMILY_GAUGE, "aegisflux_uptime_seconds",
	    "How long the agent has been running.",
	    up < 0 ? 0 : (double)up / 1e9);
	single(w, FAMILY_GAUGE, "aegisflux_snapshot_age_seconds",
	    "How old the state is that these metrics show.",
	    (double)(now->boot_ns - h->taken_boot_ns) / 1e9);
	family(w, FAMILY_GAUGE, "aegisflux_health",
	    "1 for the agent's state of health, 0 for the others.");
	for (health = HEALTH_HEALTHY; health <= HEALTH_UNHEALTHY; health++)
		sample_word(w, "state", render_health_name(health),
		    h->health == health);
}

/* What keeps the agent from being healthy, once a component. */
static void
write_reasons(struct writer *w, const struct snapshot *snap)
{
	uint32_t i, j;

	family(w, FAMILY_GAUGE, "aegisflux_health_reason",
	    "1 for each component that keeps the agent from being healthy.");
	for (i = 0; i < snap->header->reason_count; i++) {
		for (j = 0; j < i; j++)
			if (strcmp(snap->reasons[i].component,
				snap->reasons[j].component) == 0)
				break;
		if (j == i)
			sample_word(
			    w, "component", snap->reasons[i].component, 1);
	}
}

static void
write_programs(struct writer *w, const struct snapshot *snap)
{
	const struct snapshot_header *h = snap->header;
	struct render_totals totals;
	uint32_t i;

	render_count(snap, &totals);
	family(w, FAMILY_GAUGE, "aegisflux_programs",
	    "Programs that the agent knows, by the stage they are in.");
	for (i = 0; i < STATUS_MAX; i++)
		sample_word(w, "stage", status_stage((enum program_status)i),
		    totals.by_status[i]);
	single(w, FAMILY_GAUGE, "aegisflux_programs_max",
	    "How many programs may be loaded at a time.", h->max_programs);
	family(w, FAMILY_COUNTER, "aegisflux_program_loads",
	    "Attempts to load a program, by their result.");
	sample_word(w, "result", "ok", h->loads_ok);
	sample_word(w, "result", "failed", h->loads_failed);
	family(w, FAMILY_COUNTER, "aegisflux_program_unloads",
	    "Programs unloaded, by the reason.");
	for (i = UNLOAD_NONE + 1; i < UNLOAD_MAX; i++)
		sample_word(w, "reason",
		    unload_reason_name((enum unload_reason)i), h->unloads[i]);
	family(
	    w, FAMILY_COUNTER, "aegisflux_rollbacks", "Programs rolled back.");
	sample_u64(w, NULL, h->rollbacks);
	family(w, FAMILY_COUNTER, "aegisflux_artifacts_refused",
	    "Artifacts that did not pass verification.");
	sample_u64(w, NULL, h->verify_refused);
	family(w, FAMILY_COUNTER, "aegisflux_drift_found",
	    "Attachments found detached behind the agent's back.");
	sample_u64(w, NULL, h->drift_found);
	family(w, FAMILY_COUNTER, "aegisflux_drift_repaired",
	    "Those of them that were made again.");
	sample_u64(w, NULL, h->drift_repaired);
}

/* ---- one family a number of each program ---- */

static double
value_run_seconds(
    const struct snapshot_program *p, const struct render_now *now)
{
	return (double)render_counter(p->telemetry.run_time_ns) / 1e9;
}

static double
value_runs(const struct snapshot_program *p, const struct render_now *now)
{
	return (double)render_counter(p->telemetry.run_count);
}

static double
value_packets(const struct snapshot_program *p, const struct render_now *now)
{
	return (double)render_counter(p->telemetry.packets_processed);
}

static double
value_violations(const struct snapshot_program *p, const struct render_now *now)
{
	return (double)render_counter(p->telemetry.violations);
}

static double
value_errors(const struct snapshot_program *p, const struct render_now *now)
{
	return (double)render_counter(p->telemetry.errors);
}

/* The last sample stays in the documents; what has gone uses nothing now. */
static double
now_only(const struct snapshot_program *p, double value)
{
	return render_in_kernel(p) ? value : 0;
}

static double
value_cpu(const struct snapshot_program *p, const struct render_now *now)
{
	return now_only(p, p->telemetry.cpu_percent / 100);
}

static double
value_latency(const struct snapshot_program *p, const struct render_now *now)
{
	return now_only(p, p->telemetry.latency_ms / 1e3);
}

static double
value_memory(const struct snapshot_program *p, const struct render_now *now)
{
	return now_only(p, (double)p->telemetry.memory_kb * 1024);
}

static double
value_up(const struct snapshot_program *p, const struct render_now *now)
{
	return render_in_kernel(p);
}

static double
value_ttl(const struct snapshot_program *p, const struct render_now *now)
{
	int64_t left = render_ttl_left(p, now);

	return left < 0 ? INFINITY : (double)left;
}

static const struct {
	const char *name;
	enum family_type type;
	const char *help;
	double (*value)(
	    const struct snapshot_program *p, const struct render_now *now);
} program_rows[] = {
	{ "aegisflux_program_up", FAMILY_GAUGE,
	    "1 while the program is in the kernel.", value_up },
	{ "aegisflux_program_run_seconds", FAMILY_COUNTER,
	    "Time the program spent running.", value_run_seconds },
	{ "aegisflux_program_runs", FAMILY_COUNTER,
	    "How often the program ran.", value_runs },
	{ "aegisflux_program_packets_processed", FAMILY_COUNTER,
	    "What the program says it processed.", value_packets },
	{ "aegisflux_program_violations", FAMILY_COUNTER,
	    "Violations that the program counted.", value_violations },
	{ "aegisflux_program_errors", FAMILY_COUNTER,
	    "Errors that the program counted.", value_errors },
	{ "aegisflux_program_cpu_ratio", FAMILY_GAUGE,
	    "Share of one CPU over the last sample period.", value_cpu },
	{ "aegisflux_program_latency_seconds", FAMILY_GAUGE,
	    "Mean time of a run over the last sample period.", value_latency },
	{ "aegisflux_program_memory_bytes", FAMILY_GAUGE,
	    "Kernel memory of the program and its maps.", value_memory },
	{ "aegisflux_program_ttl_seconds", FAMILY_GAUGE,
	    "Time until the program is unloaded; +Inf where it stays.",
	    value_ttl },
};

static void
write_each_program(
    struct writer *w, const struct snapshot *snap, const struct render_now *now)
{
	struct label labels[LABELS_MAX] = { { "artifact_id", NULL },
		{ "name", NULL }, { "version", NULL } };
	const struct snapshot_program *p;
	double value;
	size_t row;
	uint32_t i;

	for (row = 0; row < nitems(program_rows); row++) {
		family(w, program_rows[row].type, program_rows[row].name,
		    program_rows[row].help);
		for (i = 0; i < snap->header->program_count; i++) {
			p = &snap->programs[i];
			labels[0].value = p->artifact_id;
			labels[1].value = p->name;
			labels[2].value = p->version;
			value = program_rows[row].value(p, now);
			if (isinf(value)) {
				put_name(w, w->suffix, labels);
				(void)fputs("+Inf\n", w->f);
			} else {
				sample(w, labels, value);
			}
		}
	}
}

/* ---- the agent's other subjects ---- */

static void
write_registry(struct writer *w, const struct snapshot_header *h)
{
	static const char *const results[] = { "changed", "not_modified",
		"failed", "cached" };
	size_t i;

	family(w, FAMILY_COUNTER, "aegisflux_registry_polls",
	    "Polls of the registry, by their result.");
	for (i = 0; i < nitems(results); i++)
		sample_word(w, "result", results[i], h->polls[i]);
	single(w, FAMILY_GAUGE,
	    "aegisflux_registry_last_poll_timestamp_seconds",
	    "When the registry was last asked, since the epoch; 0: never.",
	    (double)h->last_poll_wall_ns / 1e9);
	single(w, FAMILY_GAUGE, "aegisflux_registry_from_cache",
	    "1 while the list comes from the cache.", h->from_cache);
}

static void
write_events(struct writer *w, const struct snapshot_header *h)
{
	int i;

	family(w, FAMILY_COUNTER, "aegisflux_events_sent",
	    "Events that the broker took, by their type.");
	for (i = 0; i < EVENT_TYPE_MAX; i++)
		sample_word(w, "type", event_type_name((enum event_type)i),
		    h->events_sent[i]);
	family(w, FAMILY_COUNTER, "aegisflux_events_dropped",
	    "Events given up, by their type.");
	for (i = 0; i < EVENT_TYPE_MAX; i++)
		sample_word(w, "type", event_type_name((enum event_type)i),
		    h->events_dropped[i]);
	family(w, FAMILY_COUNTER, "aegisflux_violations_suppressed",
	    "Violation events over the rate limit of their program.");
	sample_u64(w, NULL, h->violations_suppressed);
	single(w, FAMILY_GAUGE, "aegisflux_nats_connected",
	    "1 while the agent is connected to NATS.", h->nats_connected);
	family(w, FAMILY_COUNTER, "aegisflux_nats_reconnects",
	    "Connections to NATS made anew.");
	sample_u64(w, NULL, h->nats_reconnects);
	family(w, FAMILY_COUNTER, "aegisflux_nats_bad_signals",
	    "Orchestrator signals that were malformed.");
	sample_u64(w, NULL, h->nats_bad_signals);
	single(w, FAMILY_GAUGE, "aegisflux_spool_bytes",
	    "Bytes of events that wait for the broker.",
	    (double)h->spool_bytes);
	single(w, FAMILY_GAUGE, "aegisflux_spool_events",
	    "Events that wait for the broker.", (double)h->spool_events);
}

static void
write_workers(struct writer *w, const struct snapshot *snap)
{
	const struct snapshot_worker *row;
	uint32_t i;

	family(w, FAMILY_GAUGE, "aegisflux_worker_up",
	    "1 while the worker is ready.");
	for (i = 0; i < snap->header->worker_count; i++) {
		row = &snap->workers[i];
		sample_word(w, "worker", proc_name((enum proc_role)row->role),
		    row->ready != 0);
	}
	family(w, FAMILY_COUNTER, "aegisflux_worker_restarts",
	    "How often the worker was started again.");
	for (i = 0; i < snap->header->worker_count; i++) {
		row = &snap->workers[i];
		sample_word(w, "worker", proc_name((enum proc_role)row->role),
		    row->restarts);
	}
	family(w, FAMILY_COUNTER, "aegisflux_protocol_violations",
	    "Messages of workers that broke the schema.");
	sample_u64(w, NULL, snap->header->protocol_violations);
}

static void
write_load_histogram(struct writer *w, const struct snapshot_header *h)
{
	static const char *const bounds[SNAPSHOT_LOAD_BUCKETS] = { "0.001",
		"0.002", "0.005", "0.01", "0.02", "0.05", "0.1", "0.2", "0.5",
		"1.0", "2.0", "+Inf" };
	struct label labels[LABELS_MAX] = { { "le", NULL } };
	uint64_t count = 0;
	size_t i;

	family(w, FAMILY_HISTOGRAM, "aegisflux_load_duration_seconds",
	    "How long loading and attaching an artifact took.");
	for (i = 0; i < SNAPSHOT_LOAD_BUCKETS; i++) {
		count += h->load_buckets[i];
		labels[0].value = bounds[i];
		put_name(w, "_bucket", labels);
		(void)fprintf(w->f, "%" PRIu64 "\n", count);
	}
	put_name(w, "_sum", NULL);
	(void)fprintf(w->f, "%.15g\n", (double)h->load_sum_us / 1e6);
	put_name(w, "_count", NULL);
	(void)fprintf(w->f, "%" PRIu64 "\n", count);
}

int
prometheus_render(bool openmetrics, const struct snapshot *snap,
    const struct render_now *now, char **out, size_t *len)
{
	struct writer w = { .openmetrics = openmetrics };

	*out = NULL;
	w.f = open_memstream(out, len);
	if (w.f == NULL)
		return -ENOMEM;
	write_agent(&w, snap, now);
	write_reasons(&w, snap);
	write_programs(&w, snap);
	write_each_program(&w, snap, now);
	write_load_histogram(&w, snap->header);
	write_registry(&w, snap->header);
	write_events(&w, snap->header);
	write_workers(&w, snap);
	if (openmetrics)
		(void)fputs("# EOF\n", w.f);
	if (fclose(w.f) != 0 || *out == NULL) {
		free(*out);
		*out = NULL;
		return -ENOMEM;
	}
	return 0;
}
