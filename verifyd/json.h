/* SPDX-License-Identifier: ISC */
/*
 * JSON as verifyd reads it: scanned strictly (common/jsonscan.h), then built
 * with json-c, then asked for members of one type each.
 */
#ifndef VERIFYD_JSON_H
#define VERIFYD_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "verifyd/problems.h"

/*
 * Parse LEN bytes of TEXT, called WHAT in problems, which must be an object.
 * Owned, or NULL after a problem was added.
 */
struct json_object *json_parse(
    const char *text, size_t len, const char *what, struct problems *problems);

/*
 * Member KEY of OBJ (called WHERE in problems) if it is there and of TYPE;
 * NULL if it is absent, null, or of another type, which is a problem.
 */
struct json_object *json_member(struct json_object *obj, const char *key,
    json_type type, const char *where, struct problems *problems);

/* A string member, borrowed; NULL as above. */
const char *json_member_string(struct json_object *obj, const char *key,
    const char *where, struct problems *problems);

/* A whole number MIN..MAX into *OUT, which stays as it is if absent. */
void json_member_u64(struct json_object *obj, const char *key, uint64_t min,
    uint64_t max, const char *where, uint64_t *out, struct problems *problems);

/* A number >= 0, fraction allowed, into *OUT. */
void json_member_double(struct json_object *obj, const char *key,
    const char *where, double *out, struct problems *problems);

/* A whole number of either form that json-c keeps: true if N is one. */
bool json_is_negative(struct json_object *n);

static inline void
json_putp(struct json_object **obj)
{
	(void)json_object_put(*obj);
}

#define _cleanup_json_ _cleanup_(json_putp)

#endif
