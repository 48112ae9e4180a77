/* SPDX-License-Identifier: ISC */
/*
 * When a program must go: thresholds against samples.  Pure: limits, sample
 * and clock in, decision out.
 */
#ifndef AGENTD_ROLLBACK_H
#define AGENTD_ROLLBACK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/lifecycle.h"
#include "common/limits.h"
#include "common/loadplan.h"

/* Strictly greater is a breach. */
struct rollback_limits {
	double max_errors;
	double max_violations;
	double max_cpu_percent;
	double max_latency_ms;
	double max_memory_kb;
};

/* A breach that waits for its delay; all zero: none. */
struct rollback_watch {
	enum threshold threshold;
	int64_t due_boot_ns; /* when it is looked at again */
};

/* Why an artifact is rolled back. */
struct rollback_cause {
	enum rollback_reason reason;
	enum threshold threshold;
	double value;
	double limit;
	char text[AEGIS_REASON_SIZE]; /* what a person or orchestrator said */
};

enum rollback_verdict {
	ROLLBACK_QUIET,   /* nothing is wrong */
	ROLLBACK_WATCHED, /* a breach; look again at watch->due_boot_ns */
	ROLLBACK_NOW,     /* it held over the delay; CAUSE is filled in */
};

/*
 * The configured limits, tightened (never loosened) by what the signed
 * metadata says; -1 there means nothing said.
 */
void rollback_tighten(struct rollback_limits *limits,
    const struct loadplan_limits *signed_limits);

/*
 * Look at one sample.  DELAY_NS: how long a breach must hold.  A breach that
 * heals before is forgotten; one that changes its threshold keeps its first
 * time, since the program has misbehaved since then.
 */
enum rollback_verdict rollback_judge(const struct rollback_limits *limits,
    const struct telemetry *sample, int64_t now_boot_ns, int64_t delay_ns,
    struct rollback_watch *watch, struct rollback_cause *cause);

#endif
