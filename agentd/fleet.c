/* SPDX-License-Identifier: ISC */
/*
 * The fleet itself: records, look-ups, the queue of actions.
 */
#include "agentd/fleet.h"

#include <string.h>

#include "common/log.h"

struct moment
moment_now(void)
{
	struct moment now = {
		.boot_ns = clock_boot_ns(),
		.wall_ns = clock_wall_ns(),
	};

	return now;
}

void
fleet_init(struct fleet *f, const struct fleet_rules *rules,
    struct state *state, const uint8_t boot_id[16])
{
	memset(f, 0, sizeof(*f));
	TAILQ_INIT(&f->artifacts);
	TAILQ_INIT(&f->actions);
	f->rules = *rules;
	f->state = state;
	memcpy(f->boot_id, boot_id, sizeof(f->boot_id));
}

static void
artifact_free(struct artifact *a)
{
	free(a->params);
	free(a->error);
	free(a);
}

void
fleet_fini(struct fleet *f)
{
	struct artifact *a;
	struct action *act;

	while ((a = TAILQ_FIRST(&f->artifacts)) != NULL) {
		TAILQ_REMOVE(&f->artifacts, a, entry);
		artifact_free(a);
	}
	index_free(&f->index);
	while ((act = fleet_next_action(f)) != NULL)
		free(act);
}

struct artifact *
fleet_find(struct fleet *f, uint64_t handle)
{
	return index_find(&f->index, handle);
}

struct artifact *
fleet_find_id(struct fleet *f, const char *artifact_id)
{
	struct artifact *newest = index_next(&f->index, artifact_id, NULL);
	struct artifact *a = newest;

	/* Of several, the one in the kernel; else the newest. */
	while (a != NULL && !artifact_is_loaded(a))
		a = index_next(&f->index, artifact_id, a);
	return a != NULL ? a : newest;
}

unsigned int
fleet_loaded_count(const struct fleet *f)
{
	const struct artifact *a;
	unsigned int n = 0;

	TAILQ_FOREACH (a, &f->artifacts, entry)
		n += artifact_is_loaded(a);
	return n;
}

bool
fleet_is_empty(const struct fleet *f)
{
	const struct artifact *a;

	TAILQ_FOREACH (a, &f->artifacts, entry)
		if (artifact_is_loaded(a) ||
		    (a->status == STATUS_UNLOADING && !a->stuck) ||
		    (a->status == STATUS_LOADING && a->working))
			return false;
	return true;
}

static struct action *
add_action(struct fleet *f, enum action_type type, uint64_t handle)
{
	struct action *act = calloc(1, sizeof(*act));

	/*
	 * An action that is lost would leave the fleet and the kernel at
	 * odds for ever; small allocations do not fail on Linux short of
	 * the end of everything.
	 */
	if (act == NULL)
		fatal("out of memory");
	act->type = type;
	act->handle = handle;
	TAILQ_INSERT_TAIL(&f->actions, act, entry);
	return act;
}

struct action *
fleet_next_action(struct fleet *f)
{
	struct action *act = TAILQ_FIRST(&f->actions);

	if (act != NULL)
		TAILQ_REMOVE(&f->actions, act, entry);
	return act;
}

void
fleet_act(struct fleet *f, enum action_type type, const struct artifact *a)
{
	(void)add_action(f, type, a != NULL ? a->handle : 0);
}

void
fleet_event(struct fleet *f, enum event_type event, const struct artifact *a)
{
	struct action *act = add_action(f, ACT_EVENT, a->handle);

	act->event = event;
}

void
fleet_event_because(struct fleet *f, enum event_type event,
    const struct artifact *a, const char *reason)
{
	struct action *act = add_action(f, ACT_EVENT, a->handle);

	act->event = event;
	act->reason = reason;
}

void
fleet_enter_stage(struct artifact *a, enum program_status status)
{
	a->status = status;
	a->working = false;
	a->deadline_boot_ns = 0;
	a->attempts = 0;
	a->retry_boot_ns = 0;
}

void
fleet_inherit(
    struct fleet *f, const struct artifact *from, const struct artifact *to)
{
	struct artifact *a;

	TAILQ_FOREACH (a, &f->artifacts, entry)
		if (a != to && a->predecessor == from->handle && !a->restoring)
			a->predecessor = to->handle;
}

void
fleet_rollback_event(
    struct fleet *f, enum rollback_status status, const struct artifact *a)
{
	struct action *act = add_action(f, ACT_EVENT, a->handle);

	act->event = EVENT_ROLLBACK_STATUS;
	act->rollback_status = status;
}

void
fleet_kill(struct fleet *f, enum proc_role role)
{
	struct action *act = add_action(f, ACT_KILL, 0);

	act->role = role;
}

struct artifact *
fleet_add(struct fleet *f, uint64_t handle, const struct artlist_entry *e,
    const uint8_t *params)
{
	struct artifact *a = calloc(1, sizeof(*a));

	if (a == NULL)
		fatal("out of memory");
	a->handle = handle;
	a->listing = *e;
	if (e->params_len > 0) {
		a->params = malloc(e->params_len);
		if (a->params == NULL)
			fatal("out of memory");
		memcpy(a->params, params, e->params_len);
	}
	a->listed = true;
	a->status = STATUS_DISCOVERED;
	a->limits = f->rules.limits;
	fleet_set_ttl(f, a);
	if (index_add(&f->index, a) < 0)
		fatal("out of memory");
	TAILQ_INSERT_TAIL(&f->artifacts, a, entry);
	return a;
}

void
fleet_set_ttl(struct fleet *f, struct artifact *a)
{
	a->ttl_sec = a->listing.ttl_sec >= 0 ? a->listing.ttl_sec
					     : f->rules.default_ttl_sec;
	if (a->max_ttl_sec > 0 &&
	    (a->ttl_sec == 0 || a->max_ttl_sec < a->ttl_sec))
		a->ttl_sec = a->max_ttl_sec;
}

void
fleet_remove(struct fleet *f, struct artifact *a)
{
	struct action *act;

	if (a->status == STATUS_DOWNLOADING && a->working)
		fleet_act(f, ACT_CANCEL, a);
	act = add_action(f, ACT_DROP, a->handle);
	act->custody = a->custody;
	TAILQ_REMOVE(&f->artifacts, a, entry);
	index_remove(&f->index, a);
	artifact_free(a);
}

void
fleet_set_error(struct artifact *a, const char *error)
{
	if (a->error != NULL && error != NULL && strcmp(a->error, error) == 0)
		return;
	free(a->error);
	a->error = error != NULL && *error != '\0' ? strdup(error) : NULL;
	a->error_reported = false;
}
