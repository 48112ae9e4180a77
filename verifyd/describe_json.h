/* SPDX-License-Identifier: ISC */
/*
 * The description of an artifact as JSON, and that JSON as text.
 */
#ifndef VERIFYD_DESCRIBE_JSON_H
#define VERIFYD_DESCRIBE_JSON_H

#include <json-c/json.h>
#include <stddef.h>
#include <stdio.h>

#include "verifyd/metadata.h"
#include "verifyd/object.h"

/* Owned; NULL for want of memory. */
struct json_object *describe_json(
    const struct metadata *m, const struct object *o);

/* Its text for people. */
void describe_text(struct json_object *doc, FILE *out);

/* The type as C writes it, "?" for one that is too deep; cut to SIZE. */
void describe_type(const struct btf *btf, uint32_t id, char *out, size_t size);

#endif
