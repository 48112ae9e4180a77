/* SPDX-License-Identifier: ISC */
#include "aegisctl/show.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>

#include "aegisctl/table.h"
#include "common/attach.h"
#include "common/clock.h"
#include "common/strnum.h"

/* A value as text; each lives in its caller. */
struct text {
	char s[CLOCK_DURATION_SIZE + 16];
};

static struct text
duration(int64_t sec, const char *none)
{
	struct text t;

	if (sec < 0)
		(void)snprintf(t.s, sizeof(t.s), "%s", none);
	else
		clock_format_duration(sec, t.s);
	return t;
}

/* How long ago a moment of the wall clock was. */
static struct text
ago(const struct show *s, int64_t wall_ns)
{
	int64_t sec = (s->now.wall_ns - wall_ns) / NSEC_PER_SEC;

	return wall_ns == 0 ? duration(-1, "never")
			    : duration(sec < 0 ? 0 : sec, "");
}

static struct text
count(uint64_t n)
{
	struct text t;

	table_count((double)render_counter(n), t.s);
	return t;
}

/* A document of the API, one line. */
static void
print_document(const struct show *s, enum render_doc doc)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (render_json(doc, s->snapshot, &s->now, &text, &len) == 0)
		(void)fwrite(text, 1, len, s->out);
}

static void
print_json(const struct show *s, struct json_object *o)
{
	(void)fprintf(s->out, "%s\n",
	    json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	(void)json_object_put(o);
}

static void
show_health(const struct show *s)
{
	const struct snapshot_header *h = s->snapshot->header;
	const struct snapshot_reason *r;
	uint32_t i;

	(void)fprintf(s->out, "%s: %s, version %s, up %s\n", h->host_id,
	    render_health_name(h->health), h->agent_version,
	    duration((s->now.boot_ns - h->started_boot_ns) / NSEC_PER_SEC, "")
		.s);
	for (i = 0; i < h->reason_count; i++) {
		char line[sizeof(r->component) + sizeof(r->text) + 4];

		r = &s->snapshot->reasons[i];
		(void)snprintf(
		    line, sizeof(line), "%s: %s", r->component, r->text);
		table_text(s->out, r->unhealthy ? "  !! " : "  ! ", line,
		    strlen(line));
	}
}

void
show_status(const struct show *s)
{
	const struct snapshot_header *h = s->snapshot->header;
	struct render_totals totals;
	uint64_t dropped = 0;
	int i;

	if (s->json) {
		print_document(s, RENDER_STATUS);
		return;
	}
	show_health(s);
	render_count(s->snapshot, &totals);
	(void)fprintf(s->out,
	    "programs: %u of %u in the kernel, %u failed, %u rolled back, "
	    "%u shown\n",
	    totals.in_kernel, h->max_programs, totals.by_status[STATUS_FAILED],
	    totals.by_status[STATUS_ROLLED_BACK], h->program_count);
	(void)fprintf(s->out,
	    "registry: asked %s ago, %" PRIu64 " polls, %" PRIu64 " failed%s\n",
	    ago(s, h->last_poll_wall_ns).s,
	    h->polls[0] + h->polls[1] + h->polls[2] + h->polls[3],
	    h->polls[2] + h->polls[3],
	    h->from_cache ? "; running from the cache" : "");
	for (i = 0; i < EVENT_TYPE_MAX; i++)
		dropped += h->events_dropped[i];
	(void)fprintf(s->out,
	    "nats: %s, %" PRIu64 " events wait (%" PRIu64 " bytes), %" PRIu64
	    " dropped\n",
	    h->nats_connected ? "connected" : "not connected", h->spool_events,
	    h->spool_bytes, dropped);
	if (h->program_count > 0) {
		(void)fputc('\n', s->out);
		show_programs(s);
	}
}

static void
show_attach_points(const struct show *s, const struct snapshot_program *p)
{
	const struct snapshot *snap = s->snapshot;
	const struct snapshot_attach *a;
	const struct snapshot_kernel_prog *k;
	char line[512];
	uint32_t i;

	for (i = 0; i < p->attach_count; i++) {
		a = &snap->attaches[p->attach_first + i];
		if (a->filter.handle != 0)
			(void)snprintf(line, sizeof(line),
			    "%s on %s by %s, priority %u, handle 0x%x",
			    a->program, a->target, attach_name(a->kind, true),
			    a->filter.priority, a->filter.handle);
		else
			(void)snprintf(line, sizeof(line),
			    "%s on %s by %s, link %u", a->program, a->target,
			    attach_name(a->kind, false), a->link_id);
		table_text(s->out, "    attached: ", line, strlen(line));
	}
	for (i = 0; i < p->prog_count; i++) {
		k = &snap->kernel_progs[p->prog_first + i];
		(void)snprintf(
		    line, sizeof(line), "%s, id %u", k->program, k->prog_id);
		table_text(s->out, "    program: ", line, strlen(line));
	}
}

static void
show_error(const struct show *s, const struct snapshot_program *p)
{
	if (p->error.len > 0)
		table_text(s->out,
		    "    error: ", s->snapshot->data + p->error.off,
		    p->error.len);
}

/* The rows of the table, and what does not fit in a column after them. */
void
show_programs(const struct show *s)
{
	static const char *const headings[] = { "ID", "NAME", "VERSION",
		"STATUS", "TTL LEFT", "CPU%", "KB", "PACKETS", "VIOL.", "ERR.",
		"RUNS" };
	const struct snapshot *snap = s->snapshot;
	const struct snapshot_program *p;
	struct table t;
	uint32_t i;

	if (s->json) {
		print_document(s, RENDER_PROGRAMS);
		return;
	}
	table_open(&t, nitems(headings), 0x7f0, headings);
	for (i = 0; i < snap->header->program_count; i++) {
		p = &snap->programs[i];
		table_add(&t, "%s", p->artifact_id);
		table_add(&t, "%s", p->name);
		table_add(&t, "%s", p->version);
		table_add(
		    &t, "%s", status_stage((enum program_status)p->status));
		table_add(
		    &t, "%s", duration(render_ttl_left(p, &s->now), "none").s);
		table_add(&t, "%.2f", p->telemetry.cpu_percent);
		table_add(&t, "%s", count(p->telemetry.memory_kb).s);
		table_add(&t, "%s", count(p->telemetry.packets_processed).s);
		table_add(&t, "%s", count(p->telemetry.violations).s);
		table_add(&t, "%s", count(p->telemetry.errors).s);
		table_add(&t, "%s", count(p->telemetry.run_count).s);
	}
	table_close(&t, s->out);
	for (i = 0; i < snap->header->program_count; i++) {
		p = &snap->programs[i];
		if (p->error.len == 0 && !s->verbose)
			continue;
		(void)fprintf(s->out, "\n%s:\n", p->artifact_id);
		show_error(s, p);
		if (s->verbose)
			show_attach_points(s, p);
	}
}

void
show_rollbacks(const struct show *s)
{
	static const char *const headings[] = { "AGO", "ID", "VERSION",
		"REASON", "THRESHOLD", "VALUE", "STATUS", "RESTORED",
		"DETAIL" };
	const struct snapshot_rollback *r;
	struct table t;
	uint32_t i;

	if (s->json) {
		print_document(s, RENDER_ROLLBACKS);
		return;
	}
	if (s->snapshot->header->rollback_count == 0) {
		(void)fputs("nothing was rolled back\n", s->out);
		return;
	}
	table_open(&t, nitems(headings), 1 << 5, headings);
	for (i = 0; i < s->snapshot->header->rollback_count; i++) {
		r = &s->snapshot->rollbacks[i];
		table_add(&t, "%s", ago(s, r->wall_ns).s);
		table_add(&t, "%s", r->artifact_id);
		table_add(&t, "%s", r->version);
		table_add(&t, "%s",
		    rollback_reason_name((enum rollback_reason)r->reason));
		table_add(
		    &t, "%s", threshold_name((enum threshold)r->threshold));
		table_add(&t, "%.10g", r->value);
		table_add(&t, "%s",
		    rollback_status_name((enum rollback_status)r->status));
		table_add(&t, "%s", r->restored_version);
		table_add(&t, "%s", r->error[0] != '\0' ? r->error : r->text);
	}
	table_close(&t, s->out);
}

void
show_workers(const struct show *s)
{
	static const char *const headings[] = { "WORKER", "STATE", "PID",
		"SINCE", "RESTARTS", "LAST EXIT" };
	const struct snapshot_worker *w;
	struct table t;
	uint32_t i;

	if (s->json) {
		print_json(s, render_workers(s->snapshot, &s->now));
		return;
	}
	table_open(&t, nitems(headings), 1 << 2 | 1 << 3 | 1 << 4, headings);
	for (i = 0; i < s->snapshot->header->worker_count; i++) {
		w = &s->snapshot->workers[i];
		table_add(&t, "%s", proc_name((enum proc_role)w->role));
		table_add(&t, "%s",
		    w->ready         ? "ready"
			: w->pid > 0 ? "starting"
				     : "down");
		if (w->pid > 0)
			table_add(&t, "%d", w->pid);
		else
			table_add(&t, "-");
		table_add(&t, "%s",
		    duration(
			(s->now.boot_ns - w->since_boot_ns) / NSEC_PER_SEC, "-")
			.s);
		table_add(&t, "%u", w->restarts);
		table_add(&t, "%s", w->last_exit);
	}
	table_close(&t, s->out);
}

static const struct snapshot_program *
find_program(const struct snapshot *snap, const char *id)
{
	const struct snapshot_program *found = NULL;
	uint32_t i;

	for (i = 0; i < snap->header->program_count; i++)
		if (strcmp(snap->programs[i].artifact_id, id) == 0)
			return &snap->programs[i];
	for (i = 0; i < snap->header->program_count; i++) {
		if (strcmp(snap->programs[i].name, id) != 0)
			continue;
		if (found != NULL)
			return NULL; /* two have it: which is meant? */
		found = &snap->programs[i];
	}
	return found;
}

static void
show_one(const struct show *s, const struct snapshot_program *p)
{
	const struct telemetry *t = &p->telemetry;
	char sha256[2 * AEGIS_SHA256_SIZE + 1];
	const char *data = s->snapshot->data;
	const char *stage = status_stage((enum program_status)p->status);
	const char *reason = "";

	strnum_format_hex(p->sha256, sizeof(p->sha256), sha256);
	if (p->unload_reason != UNLOAD_NONE)
		reason =
		    unload_reason_name((enum unload_reason)p->unload_reason);
	/* "rolled_back" need not be said twice. */
	if (strcmp(reason, stage) == 0)
		reason = "";
	(void)fprintf(s->out, "%s: %s %s, %s%s%s\n", p->artifact_id, p->name,
	    p->version, stage, *reason != '\0' ? ", " : "", reason);
	(void)fprintf(s->out, "    checksum: sha256:%s\n", sha256);
	(void)fprintf(s->out, "    in the registry's list: %s\n",
	    p->listed ? "yes" : "no");
	(void)fprintf(s->out, "    loaded: %s%s, TTL %s, left %s\n",
	    ago(s, p->loaded_wall_ns).s, p->loaded_wall_ns ? " ago" : "",
	    duration(p->ttl_sec > 0 ? p->ttl_sec : -1, "none").s,
	    duration(render_ttl_left(p, &s->now), "no end").s);
	(void)fprintf(s->out,
	    "    counters: %" PRIu64 " runs, %.6f s in all, %" PRIu64
	    " packets, %" PRIu64 " violations, %" PRIu64 " errors\n",
	    render_counter(t->run_count),
	    (double)render_counter(t->run_time_ns) / 1e9,
	    render_counter(t->packets_processed), render_counter(t->violations),
	    render_counter(t->errors));
	(void)fprintf(s->out,
	    "    last sample (%s%s): %.3f %% of a CPU, %.6f ms a run, %" PRIu64
	    " KB\n",
	    ago(s, p->sampled_wall_ns).s, p->sampled_wall_ns ? " ago" : "",
	    t->cpu_percent, t->latency_ms, t->memory_kb);
	if (p->parameters.len > 0)
		table_text(s->out, "    parameters: ", data + p->parameters.off,
		    p->parameters.len);
	show_error(s, p);
	show_attach_points(s, p);
	if (p->verifier_log.len > 0) {
		(void)fputs("    verifier's log:\n", s->out);
		table_text(s->out, "        ", data + p->verifier_log.off,
		    p->verifier_log.len);
	}
}

int
show_artifact(const struct show *s, const char *id)
{
	const struct snapshot_program *p = find_program(s->snapshot, id);

	if (p == NULL)
		return -ENOENT;
	if (s->json)
		print_json(s, render_program(s->snapshot, p, &s->now, true));
	else
		show_one(s, p);
	return 0;
}
