/* SPDX-License-Identifier: ISC */
#include "agentd/health.h"

#include <stdarg.h>
#include <string.h>

#include "agentd/agent.h"

/* A worker that is back sooner is a hiccup and not worth an alarm. */
#define WORKER_GRACE_NS (2 * NSEC_PER_SEC)

struct collector {
	struct snapshot_reason *reasons;
	size_t count;
	size_t max;
};

_printf_(4, 5) static void add(struct collector *c, const char *component,
    bool unhealthy, const char *fmt, ...)
{
	struct snapshot_reason *r;
	va_list ap;

	if (c->count == c->max)
		return;
	r = &c->reasons[c->count++];
	memset(r, 0, sizeof(*r));
	str_copy_cut(r->component, sizeof(r->component), component);
	r->unhealthy = unhealthy;
	va_start(ap, fmt);
	(void)vsnprintf(r->text, sizeof(r->text), fmt, ap);
	va_end(ap);
	str_scrub(r->text, sizeof(r->text));
}

/* Without these no program can be loaded. */
static bool
is_essential(enum proc_role role)
{
	return role == PROC_BPF || role == PROC_VERIFY;
}

static void
check_workers(const struct agent *agent, struct moment now, struct collector *c)
{
	const struct worker_proc *w;
	int role;

	for (role = PROC_FIRST_WORKER; role <= PROC_LAST_WORKER; role++) {
		w = &agent->workers[role];
		if (w->state == WORKER_READY || w->state == WORKER_OFF ||
		    (now.boot_ns - w->since_boot_ns < WORKER_GRACE_NS &&
			w->failures < 2))
			continue;
		add(c, proc_name(w->role), is_essential(w->role),
		    "worker %s is not running (%.200s)", proc_name(w->role),
		    w->last_exit[0] != '\0' ? w->last_exit : "starting");
	}
}

static void
check_registry(
    const struct agent *agent, struct moment now, struct collector *c)
{
	const struct observed *seen = &agent->observed;
	char until[CLOCK_RFC3339_SIZE];

	if (seen->polled && seen->poll.result >= POLL_FAILED)
		add(c, "registry", false, "%u polls in succession failed: %s",
		    seen->poll.failures, seen->poll.error);
	if (seen->from_cache)
		add(c, "cache", false,
		    "running from the cached list, the registry has not "
		    "answered since start");
	if (seen->polled && seen->poll.list_expires_wall_ns != 0 &&
	    seen->poll.list_expires_wall_ns < now.wall_ns) {
		clock_format_rfc3339(seen->poll.list_expires_wall_ns, until);
		add(c, "registry", false,
		    "the list expired at %s and is not renewed", until);
	}
}

static void
check_keys(const struct agent *agent, struct collector *c)
{
	const struct observed *seen = &agent->observed;

	if (agent->keys < 0)
		add(c, "vault", true,
		    "no verification key is known: nothing can be loaded");
	else if (agent->keys_expired)
		add(c, "vault", false,
		    "the keys are no longer used, Vault has not confirmed "
		    "them for %u s: nothing new is loaded",
		    agent->config.vault_key_max_age_sec);
	if (seen->vault_known && !seen->vault.ok)
		add(c, "vault", false, "%s", seen->vault.error);
}

static void
check_telemetry(const struct agent *agent, struct collector *c)
{
	const struct msg_telem_state *telem = &agent->observed.telem.shown;

	if (agent->workers[PROC_TELEM].state != WORKER_READY)
		return; /* said already */
	if (!telem->connected)
		add(c, "nats", false, "not connected: %s",
		    telem->error[0] != '\0' ? telem->error : "connecting");
	if (telem->spool_full)
		add(c, "spool", false,
		    "the event spool is full: events are dropped and counted");
}

static void
check_api(const struct agent *agent, struct collector *c)
{
	const struct observed *seen = &agent->observed;

	if (seen->api_known && !seen->api.listening)
		add(c, "apid", false, "%s", seen->api.error);
}

size_t
health_find(const struct agent *agent, struct moment now,
    struct snapshot_reason *reasons, size_t max)
{
	struct collector c = { .reasons = reasons, .max = max };

	check_workers(agent, now, &c);
	check_keys(agent, &c);
	check_registry(agent, now, &c);
	check_telemetry(agent, &c);
	check_api(agent, &c);
	if (agent->state_failing)
		add(&c, "state", false, "the state cannot be written to %s",
		    agent->config.state_dir);
	if (agent->stopping)
		add(&c, "agentd", true, "shutting down");
	return c.count;
}

enum snapshot_health
health_of(const struct snapshot_reason *reasons, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (reasons[i].unhealthy)
			return HEALTH_UNHEALTHY;
	return count > 0 ? HEALTH_DEGRADED : HEALTH_HEALTHY;
}
