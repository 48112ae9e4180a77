/* SPDX-License-Identifier: ISC */
/*
 * From counters to telemetry, and from telemetry to a verdict.
 */
#include <string.h>

#include "agentd/fleet.h"

#define NO_COUNTER UINT64_MAX

static uint64_t
counter(uint64_t value)
{
	return value == NO_COUNTER ? 0 : value;
}

/*
 * Rates over the period between two samples.  A counter that went back (a
 * program was swapped in its link) starts a new period.
 */
static void
compute_rates(
    struct artifact *a, const struct msg_bpf_sampled *s, struct telemetry *t)
{
	const struct telemetry *last = &a->telemetry;
	int64_t period = s->boot_ns - a->sampled_boot_ns;

	t->cpu_percent = 0;
	t->latency_ms = 0;
	if (a->sampled_boot_ns == 0 || period <= 0 ||
	    s->run_time_ns < last->run_time_ns ||
	    s->run_count < last->run_count)
		return;
	t->cpu_percent = 100.0 * (double)(s->run_time_ns - last->run_time_ns) /
	    (double)period;
	if (s->run_count > last->run_count)
		t->latency_ms = (double)(s->run_time_ns - last->run_time_ns) /
		    (double)(s->run_count - last->run_count) / 1e6;
}

static void
judge(struct fleet *f, struct artifact *a, struct moment now)
{
	struct rollback_cause cause;

	if (a->rolling_back || f->stopping)
		return;
	if (rollback_judge(&a->limits, &a->telemetry, now.boot_ns,
		f->rules.rollback_delay_ns, &a->watch, &cause) == ROLLBACK_NOW)
		fleet_begin_rollback(f, a, &cause, now);
}

void
fleet_sampled(struct fleet *f, struct artifact *a,
    const struct msg_bpf_sampled *s, struct moment now)
{
	struct telemetry t = { 0 };

	if (!artifact_is_loaded(a) || s->result < 0)
		return;
	compute_rates(a, s, &t);
	t.memory_kb = (s->memory_bytes + 1023) / 1024;
	t.run_count = s->run_count;
	t.run_time_ns = s->run_time_ns;
	t.violations = counter(s->violations);
	t.errors = counter(s->errors);
	/* A program that counts nothing itself has at least been run. */
	t.packets_processed = s->packets_processed == NO_COUNTER
	    ? s->run_count
	    : s->packets_processed;
	a->telemetry = t;
	a->sampled_boot_ns = s->boot_ns;
	a->sampled_wall_ns = now.wall_ns;
	a->status = STATUS_RUNNING;
	a->asked = false;
	fleet_event(f, EVENT_PROGRAM_TELEMETRY, a);
	judge(f, a, now);
}
