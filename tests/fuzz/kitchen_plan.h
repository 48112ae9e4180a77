/* SPDX-License-Identifier: ISC */
/*
 * For fuzz targets: the kitchen object, and a plan made of it that must
 * pass bpfd's check whenever verifyd found nothing wrong.
 */
#ifndef TESTS_FUZZ_KITCHEN_PLAN_H
#define TESTS_FUZZ_KITCHEN_PLAN_H

#include <string.h>

#include "common/loadplan.h"
#include "common/memfd.h"
#include "common/strnum.h"
#include "fixtures/kitchen.bpf.h"
#include "verifyd/counters.h"
#include "verifyd/json.h"
#include "verifyd/metadata.h"
#include "verifyd/object.h"
#include "verifyd/params.h"
#include "verifyd/plan.h"

static inline const struct object *
kitchen_object(void)
{
	static struct object o;
	struct problems p = { 0 };

	if (o.bpf == NULL &&
	    object_open(&o, fixture_kitchen, sizeof(fixture_kitchen), "kitchen",
		&p) < 0)
		abort();
	return &o;
}

/* Every step of verifyd's planning; aborts if a plan is not sound. */
static inline void
kitchen_plan(const struct metadata *m, struct json_object *from_registry,
    struct problems *p)
{
	struct loadplan_builder *plan = loadplan_builder_new();
	const struct object *o = kitchen_object();
	struct json_object *effective;
	struct memfd_map map = { 0 };
	struct loadplan checked;
	const char *what;
	int fd;

	effective = params_merge(m, from_registry, PARAMETERS_SCHEMA, p);
	if (effective == NULL || plan == NULL)
		abort();
	plan_header(o, m, plan);
	if (plan_contents(o, m, plan, p) < 0 ||
	    plan_attaches(o, m, effective, plan, p) < 0 ||
	    params_apply(effective, m, o, plan, p) < 0 ||
	    counters_plan(o, m->telemetry, plan, p) < 0)
		abort();
	if (p->count == 0) {
		fd = loadplan_finish(plan);
		if (fd < 0 || memfd_map(fd, AEGIS_PLAN_MAX, &map) < 0 ||
		    loadplan_check(map.data, map.len, &checked, &what) < 0)
			abort();
		memfd_unmap(&map);
		fd_close(&fd);
	} else if (!str_is_text(problems_text(p), AEGIS_ERROR_SIZE)) {
		abort();
	}
	(void)json_object_put(effective);
	loadplan_builder_free(plan);
}

#endif
