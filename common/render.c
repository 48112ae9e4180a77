/* SPDX-License-Identifier: ISC */
#include "common/render.h"

#include <math.h>
#include <string.h>

#include "common/clock.h"
#include "common/render_json.h"

struct render_now
render_clock(void)
{
	return (struct render_now){
		.wall_ns = clock_wall_ns(),
		.boot_ns = clock_boot_ns(),
	};
}

void
render_add(struct json_object *o, const char *key, struct json_object *v)
{
	/* Keys are literals and each stands once: no look-up, no copy. */
	(void)json_object_object_add_ex(o, key, v,
	    JSON_C_OBJECT_ADD_KEY_IS_NEW | JSON_C_OBJECT_ADD_CONSTANT_KEY);
}

/* Bytes of the UTF-8 character at S (LEN left); 0 if it is none. */
static size_t
utf8_length(const unsigned char *s, size_t len)
{
	uint32_t c = s[0], min;
	size_t n, i;

	if (c < 0x80)
		return 1;
	if (c >= 0xc2 && c <= 0xdf) {
		n = 2;
		c &= 0x1f;
		min = 0x80;
	} else if (c >= 0xe0 && c <= 0xef) {
		n = 3;
		c &= 0x0f;
		min = 0x800;
	} else if (c >= 0xf0 && c <= 0xf4) {
		n = 4;
		c &= 0x07;
		min = 0x10000;
	} else {
		return 0;
	}
	if (n > len)
		return 0;
	for (i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return n;
}

struct json_object *
render_text(const char *s, size_t len)
{
	_cleanup_free_ char *copy = NULL;
	size_t i = 0, n;

	if (len > INT32_MAX)
		len = INT32_MAX;
	while (i < len) {
		n = utf8_length(
		    (const unsigned char *)(copy ? copy : s) + i, len - i);
		if (n > 0) {
			i += n;
			continue;
		}
		if (copy == NULL) {
			copy = malloc(len);
			if (copy == NULL)
				return NULL;
			memcpy(copy, s, len);
		}
		copy[i++] = '?';
	}
	return json_object_new_string_len(copy ? copy : s, (int)len);
}

struct json_object *
render_string(const char *s)
{
	return render_text(s, strlen(s));
}

struct json_object *
render_double(double v)
{
	char text[40];

	if (!isfinite(v))
		v = 0;
	/* Ten digits tell apart all that is measured here, and 0.1 is 0.1. */
	(void)snprintf(text, sizeof(text), "%.10g", v);
	return json_object_new_double_s(v, text);
}

struct json_object *
render_time(int64_t wall_ns)
{
	char text[CLOCK_RFC3339_SIZE];

	if (wall_ns == 0)
		return NULL;
	clock_format_rfc3339(wall_ns, text);
	return json_object_new_string(text);
}

struct json_object *
render_duration(int64_t sec)
{
	char text[CLOCK_DURATION_SIZE];

	if (sec < 0)
		return NULL;
	clock_format_duration(sec, text);
	return json_object_new_string(text);
}

struct json_object *
render_seconds(int64_t sec)
{
	return sec < 0 ? NULL : json_object_new_int64(sec);
}

bool
render_in_kernel(const struct snapshot_program *p)
{
	return p->status == STATUS_LOADED || p->status == STATUS_RUNNING;
}

uint64_t
render_counter(uint64_t value)
{
	return value == UINT64_MAX ? 0 : value;
}

const char *
render_health_name(uint32_t health)
{
	switch (health) {
	case HEALTH_HEALTHY:
		return "healthy";
	case HEALTH_DEGRADED:
		return "degraded";
	default:
		return "unhealthy";
	}
}

void
render_count(const struct snapshot *snap, struct render_totals *t)
{
	const struct snapshot_program *p;
	double cpu = 0;
	uint32_t i;

	memset(t, 0, sizeof(*t));
	for (i = 0; i < snap->header->program_count; i++) {
		p = &snap->programs[i];
		t->by_status[p->status]++;
		t->packets_processed +=
		    render_counter(p->telemetry.packets_processed);
		t->violations += render_counter(p->telemetry.violations);
		t->errors += render_counter(p->telemetry.errors);
		if (!render_in_kernel(p))
			continue;
		t->in_kernel++;
		t->memory_kb += p->telemetry.memory_kb;
		if (isfinite(p->telemetry.cpu_percent))
			cpu += p->telemetry.cpu_percent;
	}
	if (t->in_kernel > 0)
		t->average_cpu_percent = cpu / t->in_kernel;
}

static int64_t
uptime_sec(const struct snapshot *snap, const struct render_now *now)
{
	int64_t up = now->boot_ns - snap->header->started_boot_ns;

	return up < 0 ? 0 : up / NSEC_PER_SEC;
}

static void
add_uptime(const struct snapshot *snap, const struct render_now *now,
    struct json_object *o)
{
	render_add(o, "uptime", render_duration(uptime_sec(snap, now)));
	render_add(o, "version", render_string(snap->header->agent_version));
}

static void
render_healthz_body(const struct snapshot *snap, const struct render_now *now,
    struct json_object *o)
{
	struct render_totals totals;
	struct json_object *reasons;
	char text[sizeof(struct snapshot_reason)];
	uint32_t i;

	render_count(snap, &totals);
	add_uptime(snap, now, o);
	render_add(
	    o, "loaded_programs", json_object_new_int64(totals.in_kernel));
	if (snap->header->health == HEALTH_HEALTHY)
		return;
	reasons = json_object_new_array();
	for (i = 0; i < snap->header->reason_count; i++) {
		(void)snprintf(text, sizeof(text), "%s: %s",
		    snap->reasons[i].component, snap->reasons[i].text);
		(void)json_object_array_add(reasons, render_string(text));
	}
	render_add(o, "reasons", reasons);
}

/* Counters that are arrays in the header: one object by word. */
static struct json_object *
count_events(const uint64_t *values)
{
	struct json_object *o = json_object_new_object();
	int i;

	for (i = 0; i < EVENT_TYPE_MAX; i++)
		render_add(o, event_type_name((enum event_type)i),
		    json_object_new_uint64(values[i]));
	return o;
}

static struct json_object *
count_unloads(const struct snapshot_header *h)
{
	struct json_object *o = json_object_new_object();
	int i;

	for (i = UNLOAD_NONE + 1; i < UNLOAD_MAX; i++)
		render_add(o, unload_reason_name((enum unload_reason)i),
		    json_object_new_uint64(h->unloads[i]));
	return o;
}

static struct json_object *
render_counters(
    const struct snapshot_header *h, const struct render_totals *totals)
{
	struct json_object *o = json_object_new_object();
	uint64_t polls = h->polls[0] + h->polls[1] + h->polls[2] + h->polls[3];
	const struct {
		const char *key;
		uint64_t value;
	} rows[] = {
		{ "total_programs", h->program_count },
		{ "running_programs", totals->in_kernel },
		{ "failed_programs", totals->by_status[STATUS_FAILED] },
		{ "rolled_back_programs",
		    totals->by_status[STATUS_ROLLED_BACK] },
		{ "loads", h->loads_ok },
		{ "load_failures", h->loads_failed },
		{ "rollbacks", h->rollbacks },
		{ "artifacts_refused", h->verify_refused },
		{ "registry_polls", polls },
		{ "registry_poll_failures", h->polls[2] + h->polls[3] },
		{ "protocol_violations", h->protocol_violations },
		{ "drift_found", h->drift_found },
		{ "drift_repaired", h->drift_repaired },
		{ "violations_suppressed", h->violations_suppressed },
		{ "nats_reconnects", h->nats_reconnects },
		{ "nats_bad_signals", h->nats_bad_signals },
	};
	size_t i;

	for (i = 0; i < nitems(rows); i++)
		render_add(
		    o, rows[i].key, json_object_new_uint64(rows[i].value));
	render_add(o, "unloads", count_unloads(h));
	render_add(o, "events_sent", count_events(h->events_sent));
	render_add(o, "events_dropped", count_events(h->events_dropped));
	return o;
}

static void
render_metrics_body(const struct snapshot *snap, const struct render_now *now,
    struct json_object *o)
{
	const struct snapshot_header *h = snap->header;
	struct json_object *gauges = json_object_new_object();
	struct render_totals totals;
	int64_t up_ms = (now->boot_ns - h->started_boot_ns) / NSEC_PER_MSEC;

	render_count(snap, &totals);
	render_add(o, "counters", render_counters(h, &totals));
	render_add(gauges, "uptime_seconds",
	    render_double(up_ms < 0 ? 0 : (double)up_ms / 1e3));
	render_add(gauges, "average_cpu_percent",
	    render_double(totals.average_cpu_percent));
	render_add(gauges, "total_memory_kb",
	    json_object_new_uint64(totals.memory_kb));
	render_add(gauges, "total_violations",
	    json_object_new_uint64(totals.violations));
	render_add(
	    gauges, "total_errors", json_object_new_uint64(totals.errors));
	render_add(gauges, "total_packets_processed",
	    json_object_new_uint64(totals.packets_processed));
	render_add(
	    gauges, "max_programs", json_object_new_int64(h->max_programs));
	render_add(
	    gauges, "nats_connected", json_object_new_int(h->nats_connected));
	render_add(
	    gauges, "spool_bytes", json_object_new_uint64(h->spool_bytes));
	render_add(
	    gauges, "spool_events", json_object_new_uint64(h->spool_events));
	render_add(o, "gauges", gauges);
}

struct json_object *
render_workers(const struct snapshot *snap, const struct render_now *now)
{
	struct json_object *list = json_object_new_array(), *o;
	const struct snapshot_worker *w;
	int64_t since;
	uint32_t i;

	for (i = 0; i < snap->header->worker_count; i++) {
		w = &snap->workers[i];
		since = (now->boot_ns - w->since_boot_ns) / NSEC_PER_SEC;
		o = json_object_new_object();
		render_add(o, "worker",
		    render_string(proc_name((enum proc_role)w->role)));
		render_add(o, "ready", json_object_new_boolean(w->ready != 0));
		render_add(
		    o, "pid", w->pid > 0 ? json_object_new_int(w->pid) : NULL);
		render_add(o, "restarts", json_object_new_int64(w->restarts));
		render_add(o, "since", render_duration(since < 0 ? 0 : since));
		if (w->last_exit[0] != '\0')
			render_add(o, "last_exit", render_string(w->last_exit));
		(void)json_object_array_add(list, o);
	}
	return list;
}

static void
render_version_body(const struct snapshot *snap, const struct render_now *now,
    struct json_object *o)
{
	const struct snapshot_header *h = snap->header;

	add_uptime(snap, now, o);
	render_add(o, "started_at", render_time(h->started_wall_ns));
	render_add(o, "architecture", render_string(h->architecture));
	render_add(o, "kernel", render_string(h->kernel_release));
	render_add(o, "generation", json_object_new_uint64(h->generation));
	render_add(o, "workers", render_workers(snap, now));
}

static struct json_object *
render_object(enum render_doc doc, const struct snapshot *snap,
    const struct render_now *now)
{
	const struct snapshot_header *h = snap->header;
	struct json_object *o = json_object_new_object();

	if (o == NULL)
		return NULL;
	if (doc == RENDER_HEALTHZ)
		render_add(
		    o, "status", render_string(render_health_name(h->health)));
	render_add(o, "host_id", render_string(h->host_id));
	render_add(o, "timestamp", render_time(now->wall_ns));
	switch (doc) {
	case RENDER_HEALTHZ:
		render_healthz_body(snap, now, o);
		break;
	case RENDER_STATUS:
		add_uptime(snap, now, o);
		render_status_body(snap, now, o);
		break;
	case RENDER_METRICS:
		render_metrics_body(snap, now, o);
		break;
	case RENDER_PROGRAMS:
		render_programs_body(snap, now, o);
		break;
	case RENDER_ROLLBACKS:
		render_rollbacks_body(snap, o);
		break;
	case RENDER_TELEMETRY:
		render_telemetry_body(snap, o);
		break;
	case RENDER_VERSION:
	case RENDER_DOC_MAX:
		render_version_body(snap, now, o);
		break;
	}
	return o;
}

int
render_json(enum render_doc doc, const struct snapshot *snap,
    const struct render_now *now, char **out, size_t *len)
{
	struct json_object *o = render_object(doc, snap, now);
	const char *text;
	size_t n;
	int r = -ENOMEM;

	*out = NULL;
	text = o == NULL
	    ? NULL
	    : json_object_to_json_string_length(o,
		  JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &n);
	if (text != NULL)
		*out = malloc(n + 2);
	if (*out != NULL) {
		memcpy(*out, text, n);
		(*out)[n] = '\n';
		(*out)[n + 1] = '\0';
		*len = n + 1;
		r = 0;
	}
	(void)json_object_put(o);
	return r;
}
