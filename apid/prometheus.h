/* SPDX-License-Identifier: ISC */
/*
 * The metrics as Prometheus reads them: text format 0.0.4, or OpenMetrics
 * 1.0.  Names follow Prometheus' rules (base units, _total for counters);
 * aegis-api(7) lists them all.
 */
#ifndef APID_PROMETHEUS_H
#define APID_PROMETHEUS_H

#include <stdbool.h>

#include "common/render.h"

/*
 * All metrics of a snapshot.  *OUT is owned by the caller (free(3)), *LEN
 * counts its bytes.  0 or -ENOMEM.
 */
int prometheus_render(bool openmetrics, const struct snapshot *snap,
    const struct render_now *now, char **out, size_t *len) _must_check_;

#endif
