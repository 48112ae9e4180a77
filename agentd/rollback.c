/* SPDX-License-Identifier: ISC */
#include "agentd/rollback.h"

#include <string.h>

static void
tighten(double *limit, double signed_limit)
{
	if (signed_limit >= 0 && signed_limit < *limit)
		*limit = signed_limit;
}

void
rollback_tighten(
    struct rollback_limits *limits, const struct loadplan_limits *signed_limits)
{
	tighten(&limits->max_errors, signed_limits->max_errors);
	tighten(&limits->max_violations, signed_limits->max_violations);
	tighten(&limits->max_cpu_percent, signed_limits->max_cpu_percent);
	tighten(&limits->max_latency_ms, signed_limits->max_latency_ms);
	tighten(&limits->max_memory_kb, signed_limits->max_memory_kb);
}

/* The first threshold that SAMPLE breaks, in the order of the seed's table. */
static enum threshold
first_breach(const struct rollback_limits *limits,
    const struct telemetry *sample, double *value, double *limit)
{
	const struct {
		enum threshold threshold;
		double value;
		double limit;
	} tests[] = {
		{ THRESHOLD_MAX_ERRORS, (double)sample->errors,
		    limits->max_errors },
		{ THRESHOLD_MAX_VIOLATIONS, (double)sample->violations,
		    limits->max_violations },
		{ THRESHOLD_MAX_CPU_PERCENT, sample->cpu_percent,
		    limits->max_cpu_percent },
		{ THRESHOLD_MAX_LATENCY_MS, sample->latency_ms,
		    limits->max_latency_ms },
		{ THRESHOLD_MAX_MEMORY_KB, (double)sample->memory_kb,
		    limits->max_memory_kb },
	};
	size_t i;

	for (i = 0; i < nitems(tests); i++) {
		if (tests[i].value > tests[i].limit) {
			*value = tests[i].value;
			*limit = tests[i].limit;
			return tests[i].threshold;
		}
	}
	return THRESHOLD_NONE;
}

enum rollback_verdict
rollback_judge(const struct rollback_limits *limits,
    const struct telemetry *sample, int64_t now_boot_ns, int64_t delay_ns,
    struct rollback_watch *watch, struct rollback_cause *cause)
{
	enum threshold threshold;
	double value, limit;

	threshold = first_breach(limits, sample, &value, &limit);
	if (threshold == THRESHOLD_NONE) {
		memset(watch, 0, sizeof(*watch));
		return ROLLBACK_QUIET;
	}
	if (watch->threshold == THRESHOLD_NONE)
		watch->due_boot_ns = now_boot_ns + delay_ns;
	watch->threshold = threshold;
	if (now_boot_ns < watch->due_boot_ns)
		return ROLLBACK_WATCHED;
	memset(cause, 0, sizeof(*cause));
	cause->reason = threshold == THRESHOLD_MAX_CPU_PERCENT
	    ? ROLLBACK_HIGH_CPU
	    : ROLLBACK_TELEMETRY_THRESHOLD;
	cause->threshold = threshold;
	cause->value = value;
	cause->limit = limit;
	return ROLLBACK_NOW;
}
