/* SPDX-License-Identifier: ISC */
/*
 * What the files that plan attachments share: the program at hand.
 */
#ifndef VERIFYD_PLAN_ATTACH_H
#define VERIFYD_PLAN_ATTACH_H

#include "common/attach.h"
#include "verifyd/plan.h"

/* One program and, where there is one, the entry that is about it. */
struct attacher {
	const struct object *o;
	struct json_object *effective;
	struct loadplan_builder *plan;
	struct problems *problems;
	unsigned int prog;
	const char *prog_name;
	const char *section;
	enum attach_kind kind;
	const struct attach_row *row;
	const char *section_target;          /* "lsm/<this>", or NULL */
	const struct metadata_attach *entry; /* or NULL */
	const char *symbol_set; /* what an earlier entry set it to */
};

/* The text of key WHERE of the entry, placeholders resolved; or NULL. */
const char *attacher_text(const struct attacher *a, enum attach_where where);

/* plan_probe.c: is this target one of those that it knows? */
bool plan_is_probe(enum attach_target target);

/* Is key WHERE of any use to such a target? */
bool plan_probe_takes(enum attach_target target, enum attach_where where);

/*
 * Fill in target, name_len, offset, symbols and rate of RECORD.  *OK is false
 * after a problem was added.  0, -ENOMEM or -E2BIG.
 */
int plan_probe(const struct attacher *a, struct loadplan_attach *record,
    bool *ok) _must_check_;

/* The problem of a program that is told no place; *OK is false then. */
void plan_wants_target(const struct attacher *a);

#endif
