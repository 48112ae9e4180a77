/* SPDX-License-Identifier: ISC */
/*
 * parameters_schema: which parameters the signer lets the registry set, and
 * to what.  One rule a parameter: min, max, enum, pattern, fixed.
 */
#ifndef VERIFYD_SCHEMA_H
#define VERIFYD_SCHEMA_H

#include <json-c/json.h>

#include "verifyd/problems.h"

/*
 * Check VALUE of parameter KEY against its rule in SCHEMA, if there is one.
 * SIGNED_VALUE is the signed parameter, NULL if there is none.  Problems are
 * added, about the value or about the rule itself.
 */
void schema_check(struct json_object *schema, const char *key,
    struct json_object *value, struct json_object *signed_value,
    struct problems *problems);

#endif
