/* SPDX-License-Identifier: ISC */
/*
 * One entry of the registry's list: from a checked JSON object to a flat
 * record.
 */
#ifndef FETCHD_REGENTRY_H
#define FETCHD_REGENTRY_H

#include <stddef.h>

#include "common/artlist.h"
#include "common/cleanup.h"

struct json_object;

/*
 * Fill in ENTRY from the object JSON.  *PARAMETERS becomes the compact JSON
 * of its parameters (owned, free(3); NULL: none); the caller gives them a
 * place and sets params_off and params_len.  -EINVAL with ERROR (SIZE
 * bytes), which names the field, the value and what would be right;
 * ENTRY's artifact_id is set as soon as it is known to be good.
 */
int regentry_read(struct json_object *json, struct artlist_entry *entry,
    char **parameters, char *error, size_t size) _must_check_;

/* Parse one JSON value strictly (jsonscan first).  Owned, or NULL + ERROR. */
struct json_object *regentry_json(
    const char *text, size_t len, char *error, size_t size);

#endif
