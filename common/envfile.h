/* SPDX-License-Identifier: ISC */
/*
 * The syntax of systemd's EnvironmentFile=, so that one file serves the unit,
 * agentd -f and any other init system alike.
 */
#ifndef COMMON_ENVFILE_H
#define COMMON_ENVFILE_H

#include <stddef.h>

#include "common/cleanup.h"

/*
 * One assignment, or (NAME NULL) a line that is none, which VALUE then shows.
 * LINE counts from 1.  Strings live until the return; 0 or -errno to stop.
 */
typedef int (*envfile_line)(
    const char *name, const char *value, unsigned int line, void *ctx);

/*
 * Parse LEN bytes at TEXT.  0; -EINVAL: a quote that is never closed, or a
 * NUL byte (*LINE says where, *WHAT what, static); -ENOMEM; or what FN gave.
 * What is read passes through one buffer, which is wiped.
 */
int envfile_parse(const char *text, size_t len, envfile_line fn, void *ctx,
    unsigned int *line, const char **what) _must_check_;

#endif
