/* SPDX-License-Identifier: ISC */
/*
 * A map's contents from JSON: {"key": value} for keys that are one value,
 * [{"key": ..., "value": ...}] for any key, a plain list for arrays.
 */
#ifndef VERIFYD_MAPDATA_H
#define VERIFYD_MAPDATA_H

#include <json-c/json.h>

#include "common/cleanup.h"
#include "common/loadplan.h"
#include "verifyd/object.h"
#include "verifyd/problems.h"

/*
 * Add to PLAN the writes that put VALUE into map INDEX of O; problems are
 * added.  -errno only when memory or the plan's room is short.
 */
int mapdata_encode(const struct object *o, unsigned int index,
    struct json_object *value, struct loadplan_builder *plan,
    struct problems *problems) _must_check_;

#endif
