/* SPDX-License-Identifier: ISC */
/*
 * What the two halves of the renderer share: json-c values from what a
 * snapshot holds.  Internal to common_json_lib.
 */
#ifndef COMMON_RENDER_JSON_H
#define COMMON_RENDER_JSON_H

#include <json-c/json.h>

#include "common/render.h"

/* json_object_object_add() for a key that is a literal and new. */
void render_add(struct json_object *o, const char *key, struct json_object *v);

/* Text of LEN bytes; what is not UTF-8 becomes '?', so the document is. */
struct json_object *render_text(const char *s, size_t len);
struct json_object *render_string(const char *s);

/* A finite number in the fewest digits that say it; else 0. */
struct json_object *render_double(double v);

/* RFC 3339, or null for 0 (never). */
struct json_object *render_time(int64_t wall_ns);

/* A duration as Go prints it; null for a negative one (no end). */
struct json_object *render_duration(int64_t sec);

/* The same as a number. */
struct json_object *render_seconds(int64_t sec);

/* The documents of render_program.c. */
struct json_object *render_telemetry(
    const struct snapshot *snap, const struct snapshot_program *p);
void render_status_body(const struct snapshot *snap,
    const struct render_now *now, struct json_object *o);
void render_programs_body(const struct snapshot *snap,
    const struct render_now *now, struct json_object *o);
void render_telemetry_body(const struct snapshot *snap, struct json_object *o);
void render_rollbacks_body(const struct snapshot *snap, struct json_object *o);

#endif
