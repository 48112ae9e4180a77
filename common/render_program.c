/* SPDX-License-Identifier: ISC */
/*
 * The documents that list programs: /status, /programs, /telemetry, and the
 * rollbacks.
 */
#include <string.h>

#include "common/attach.h"
#include "common/clock.h"
#include "common/render_json.h"
#include "common/strnum.h"

int64_t
render_ttl_left(const struct snapshot_program *p, const struct render_now *now)
{
	int64_t left;

	if (p->ttl_sec <= 0)
		return -1;
	if (p->expires_boot_ns == 0)
		return p->status < STATUS_LOADED ? p->ttl_sec : 0;
	left = p->expires_boot_ns - now->boot_ns;
	if (left <= 0 || p->status > STATUS_UNLOADING)
		return 0;
	/* Up to the next second: 0s is shown when it is over, not before. */
	return (left + NSEC_PER_SEC - 1) / NSEC_PER_SEC;
}

static struct json_object *
text_at(const struct snapshot *snap, struct snapshot_text t)
{
	return render_text(snap->data + t.off, t.len);
}

struct json_object *
render_telemetry(const struct snapshot *snap, const struct snapshot_program *p)
{
	const struct telemetry *t = &p->telemetry;
	struct json_object *o = json_object_new_object();

	render_add(o, "artifact_id", render_string(p->artifact_id));
	render_add(o, "host_id", render_string(snap->header->host_id));
	render_add(o, "timestamp", render_time(p->sampled_wall_ns));
	render_add(o, "status",
	    render_string(status_name((enum program_status)p->status)));
	if (p->verifier_log.len > 0)
		render_add(o, "verifier_msg", text_at(snap, p->verifier_log));
	render_add(o, "cpu_percent", render_double(t->cpu_percent));
	render_add(o, "memory_kb", json_object_new_uint64(t->memory_kb));
	render_add(o, "packets_processed",
	    json_object_new_uint64(render_counter(t->packets_processed)));
	render_add(o, "violations",
	    json_object_new_uint64(render_counter(t->violations)));
	render_add(
	    o, "errors", json_object_new_uint64(render_counter(t->errors)));
	render_add(o, "latency_ms", render_double(t->latency_ms));
	return o;
}

/* What /status and /programs say alike about a program. */
static struct json_object *
program_head(const struct snapshot_program *p)
{
	struct json_object *o = json_object_new_object();

	render_add(o, "artifact_id", render_string(p->artifact_id));
	render_add(o, "name", render_string(p->name));
	render_add(o, "version", render_string(p->version));
	render_add(o, "status",
	    render_string(status_name((enum program_status)p->status)));
	render_add(o, "loaded_at", render_time(p->loaded_wall_ns));
	return o;
}

static void
add_ttl(const struct snapshot_program *p, const struct render_now *now,
    struct json_object *o)
{
	int64_t left = render_ttl_left(p, now);

	render_add(o, "ttl_remaining", render_duration(left));
	render_add(o, "ttl_seconds", render_seconds(left));
}

static void
add_tail(const struct snapshot *snap, const struct snapshot_program *p,
    struct json_object *o)
{
	if (p->error.len > 0)
		render_add(o, "error", text_at(snap, p->error));
	render_add(o, "telemetry", render_telemetry(snap, p));
}

void
render_status_body(const struct snapshot *snap, const struct render_now *now,
    struct json_object *o)
{
	struct json_object *list = json_object_new_array(), *item;
	uint32_t i;

	for (i = 0; i < snap->header->program_count; i++) {
		item = program_head(&snap->programs[i]);
		add_ttl(&snap->programs[i], now, item);
		add_tail(snap, &snap->programs[i], item);
		(void)json_object_array_add(list, item);
	}
	render_add(o, "applied_artifacts", list);
	render_add(o, "total_programs",
	    json_object_new_int64(snap->header->program_count));
	render_add(o, "from_cache",
	    json_object_new_boolean(snap->header->from_cache != 0));
}

/* verifyd made this text; a document is not built from unparsed text. */
static struct json_object *
parameters_of(const struct snapshot *snap, const struct snapshot_program *p)
{
	struct json_tokener *tok;
	struct json_object *o = NULL;

	if (p->parameters.len == 0 || p->parameters.len > INT32_MAX)
		return json_object_new_object();
	tok = json_tokener_new_ex(64);
	if (tok != NULL) {
		o = json_tokener_parse_ex(tok, snap->data + p->parameters.off,
		    (int)p->parameters.len);
		if (json_tokener_get_error(tok) != json_tokener_success ||
		    !json_object_is_type(o, json_type_object)) {
			(void)json_object_put(o);
			o = NULL;
		}
		json_tokener_free(tok);
	}
	return o != NULL ? o : json_object_new_object();
}

static struct json_object *
attach_points(const struct snapshot *snap, const struct snapshot_program *p)
{
	struct json_object *list = json_object_new_array(), *o;
	const struct snapshot_attach *a;
	uint32_t i;

	for (i = 0; i < p->attach_count; i++) {
		a = &snap->attaches[p->attach_first + i];
		o = json_object_new_object();
		render_add(o, "program", render_string(a->program));
		render_add(o, "type",
		    render_string(attach_name(a->kind, a->filter.handle != 0)));
		render_add(o, "target", render_string(a->target));
		render_add(o, "link_id", json_object_new_int64(a->link_id));
		if (a->filter.handle != 0) {
			render_add(o, "priority",
			    json_object_new_int64(a->filter.priority));
			render_add(o, "handle",
			    json_object_new_int64(a->filter.handle));
		}
		(void)json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *
kernel_programs(const struct snapshot *snap, const struct snapshot_program *p)
{
	struct json_object *list = json_object_new_array(), *o;
	const struct snapshot_kernel_prog *k;
	char tag[2 * sizeof(k->tag) + 1];
	uint32_t i;

	for (i = 0; i < p->prog_count; i++) {
		k = &snap->kernel_progs[p->prog_first + i];
		strnum_format_hex(k->tag, sizeof(k->tag), tag);
		o = json_object_new_object();
		render_add(o, "program", render_string(k->program));
		render_add(o, "id", json_object_new_int64(k->prog_id));
		render_add(o, "tag", render_string(tag));
		(void)json_object_array_add(list, o);
	}
	return list;
}

struct json_object *
render_program(const struct snapshot *snap, const struct snapshot_program *p,
    const struct render_now *now, bool verbose)
{
	struct json_object *o = program_head(p);
	char sha256[2 * AEGIS_SHA256_SIZE + 1];

	render_add(
	    o, "ttl", render_duration(p->ttl_sec <= 0 ? -1 : p->ttl_sec));
	add_ttl(p, now, o);
	render_add(o, "parameters", parameters_of(snap, p));
	add_tail(snap, p, o);
	strnum_format_hex(p->sha256, sizeof(p->sha256), sha256);
	render_add(o, "checksum", render_string(sha256));
	render_add(o, "stage",
	    render_string(status_stage((enum program_status)p->status)));
	if (p->unload_reason != UNLOAD_NONE)
		render_add(o, "unload_reason",
		    render_string(unload_reason_name(
			(enum unload_reason)p->unload_reason)));
	render_add(o, "listed", json_object_new_boolean(p->listed != 0));
	render_add(o, "run_count",
	    json_object_new_uint64(render_counter(p->telemetry.run_count)));
	render_add(o, "run_time_ns",
	    json_object_new_uint64(render_counter(p->telemetry.run_time_ns)));
	render_add(o, "attach_points", attach_points(snap, p));
	render_add(o, "kernel_programs", kernel_programs(snap, p));
	if (verbose && p->verifier_log.len > 0)
		render_add(o, "verifier_log", text_at(snap, p->verifier_log));
	return o;
}

void
render_programs_body(const struct snapshot *snap, const struct render_now *now,
    struct json_object *o)
{
	struct json_object *list = json_object_new_array();
	uint32_t i;

	for (i = 0; i < snap->header->program_count; i++)
		(void)json_object_array_add(
		    list, render_program(snap, &snap->programs[i], now, false));
	render_add(o, "programs", list);
	render_add(
	    o, "total", json_object_new_int64(snap->header->program_count));
}

void
render_telemetry_body(const struct snapshot *snap, struct json_object *o)
{
	struct json_object *map = json_object_new_object();
	const struct snapshot_program *p;
	uint32_t i;

	/* Keys come from the snapshot, which outlives the document. */
	for (i = 0; i < snap->header->program_count; i++) {
		p = &snap->programs[i];
		(void)json_object_object_add(
		    map, p->artifact_id, render_telemetry(snap, p));
	}
	render_add(o, "telemetry", map);
	render_add(
	    o, "total", json_object_new_int64(json_object_object_length(map)));
}

static struct json_object *
rollback_metadata(const struct snapshot_rollback *r)
{
	struct json_object *o = json_object_new_object();

	render_add(o, "name", render_string(r->name));
	render_add(o, "version", render_string(r->version));
	if (r->restored_version[0] != '\0')
		render_add(
		    o, "restored_version", render_string(r->restored_version));
	if (r->threshold != THRESHOLD_NONE)
		render_add(o, "limit", render_double(r->limit));
	if (r->text[0] != '\0')
		render_add(o, "detail", render_string(r->text));
	return o;
}

void
render_rollbacks_body(const struct snapshot *snap, struct json_object *o)
{
	struct json_object *list = json_object_new_array(), *item;
	const struct snapshot_rollback *r;
	uint32_t i;

	for (i = 0; i < snap->header->rollback_count; i++) {
		r = &snap->rollbacks[i];
		item = json_object_new_object();
		render_add(item, "artifact_id", render_string(r->artifact_id));
		render_add(
		    item, "host_id", render_string(snap->header->host_id));
		render_add(item, "reason",
		    render_string(
			rollback_reason_name((enum rollback_reason)r->reason)));
		render_add(item, "threshold",
		    render_string(
			threshold_name((enum threshold)r->threshold)));
		render_add(item, "value", render_double(r->value));
		render_add(item, "timestamp", render_time(r->wall_ns));
		render_add(item, "status",
		    render_string(
			rollback_status_name((enum rollback_status)r->status)));
		if (r->error[0] != '\0')
			render_add(item, "error", render_string(r->error));
		render_add(item, "metadata", rollback_metadata(r));
		(void)json_object_array_add(list, item);
	}
	render_add(o, "rollbacks", list);
	render_add(
	    o, "total", json_object_new_int64(snap->header->rollback_count));
}
