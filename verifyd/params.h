/* SPDX-License-Identifier: ISC */
/*
 * Parameters: the registry's over the signed ones, as far as the signer and
 * the operator allow, then into the plan.
 */
#ifndef VERIFYD_PARAMS_H
#define VERIFYD_PARAMS_H

#include <json-c/json.h>
#include <stddef.h>

#include "common/cleanup.h"
#include "common/loadplan.h"
#include "common/msg.h"
#include "verifyd/metadata.h"
#include "verifyd/object.h"
#include "verifyd/problems.h"

/*
 * The parameters in force, an owned object: FROM_REGISTRY (an object, or
 * NULL) over those of M.  Problems are added; NULL only for want of memory.
 */
struct json_object *params_merge(const struct metadata *m,
    struct json_object *from_registry, enum parameters_policy policy,
    struct problems *problems);

/*
 * Add to PLAN the writes that EFFECTIVE asks for: each key is a placeholder
 * of an attach entry (whoever plans attachments takes it), a global, or a
 * map.  Problems are added; -errno only for want of memory or room.
 */
int params_apply(struct json_object *effective, const struct metadata *m,
    const struct object *o, struct loadplan_builder *plan,
    struct problems *problems) _must_check_;

#endif
