/* SPDX-License-Identifier: ISC */
/*
 * Which numbers in which map are the program's counters: by the names of
 * the members of `stats` or `aegis_stats`, or by what "telemetry" says.
 */
#ifndef VERIFYD_COUNTERS_H
#define VERIFYD_COUNTERS_H

#include <json-c/json.h>

#include "common/cleanup.h"
#include "common/loadplan.h"
#include "verifyd/object.h"
#include "verifyd/problems.h"

/*
 * Add the counters of O to PLAN, whose maps are there already, and mark the
 * maps.  TELEMETRY is metadata's, or NULL.  Problems are added; -errno only
 * for want of memory or room.
 */
int counters_plan(const struct object *o, struct json_object *telemetry,
    struct loadplan_builder *plan, struct problems *problems) _must_check_;

#endif
