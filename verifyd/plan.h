/* SPDX-License-Identifier: ISC */
/*
 * The programs, maps and attachments of a load plan, from the object and the
 * "attach" entries.
 */
#ifndef VERIFYD_PLAN_H
#define VERIFYD_PLAN_H

#include <json-c/json.h>

#include "common/cleanup.h"
#include "common/loadplan.h"
#include "verifyd/metadata.h"
#include "verifyd/object.h"
#include "verifyd/problems.h"

/* The header, from what the signer said. */
void plan_header(const struct object *o, const struct metadata *m,
    struct loadplan_builder *plan);

/* All programs and maps, in libbpf's order; attachments come later. */
int plan_contents(const struct object *o, const struct metadata *m,
    struct loadplan_builder *plan, struct problems *problems) _must_check_;

/*
 * What each program is attached to: its section names the kind, its entries
 * the target, EFFECTIVE the placeholders.  Problems are added; -errno only
 * for want of memory or room.
 */
int plan_attaches(const struct object *o, const struct metadata *m,
    struct json_object *effective, struct loadplan_builder *plan,
    struct problems *problems) _must_check_;

#endif
