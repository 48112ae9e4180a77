/* SPDX-License-Identifier: ISC */
/*
 * What the read-only commands print, for people or as JSON, from a snapshot.
 */
#ifndef AEGISCTL_SHOW_H
#define AEGISCTL_SHOW_H

#include <stdbool.h>
#include <stdio.h>

#include "common/render.h"

struct show {
	FILE *out;
	bool json;
	bool verbose;
	const struct snapshot *snapshot;
	struct render_now now;
};

void show_status(const struct show *s);
void show_programs(const struct show *s);
void show_rollbacks(const struct show *s);
void show_workers(const struct show *s);

/* One artifact by its id, or by its name if one alone has it.  -ENOENT. */
int show_artifact(const struct show *s, const char *id) _must_check_;

#endif
