/* SPDX-License-Identifier: ISC */
/*
 * Ways out of the kernel: unload, roll back, bury.
 */
#include <string.h>

#include "agentd/fleet.h"

struct state_artifact *
fleet_remember(struct fleet *f, struct artifact *a, struct moment now)
{
	const struct artlist_entry *e = &a->listing;
	struct state_artifact *s;

	s = state_artifact_put(
	    f->state, e->artifact_id, e->sha256, e->name, e->version);
	if (s == NULL)
		return NULL;
	s->last_seen_wall_ns = now.wall_ns;
	fleet_act(f, ACT_SAVE, NULL);
	return s;
}

/* That A ended with STATUS: it is not loaded again. */
static void
entomb(struct fleet *f, struct artifact *a, enum program_status status,
    struct moment now)
{
	struct state_artifact *s = fleet_remember(f, a, now);
	uint32_t hash = 0;

	if (s == NULL)
		return;
	if (fleet_ends_alone(f, a, status))
		hash = fleet_params_hash(a->params, a->listing.params_len);
	/* A refusal lifts no end that stands for all parameters. */
	if (hash != 0 && s->tombstone != 0 && s->params_hash == 0)
		return;
	s->tombstone = (uint32_t)status;
	s->unload_reason = (uint32_t)a->unload_reason;
	s->params_hash = hash;
	str_copy_cut(
	    s->error, sizeof(s->error), a->error != NULL ? a->error : "");
	if (hash == 0)
		fleet_end_others(f, a, s);
}

void
fleet_bury(struct fleet *f, struct artifact *a, enum program_status status,
    struct moment now)
{
	a->status = status;
	a->working = false;
	a->deadline_boot_ns = 0;
	entomb(f, a, status, now);
}

void
fleet_begin_unload(struct fleet *f, struct artifact *a,
    enum unload_reason reason, enum program_status after)
{
	a->status = STATUS_UNLOADING;
	a->working = false;
	a->unload_reason = reason;
	a->after_unload = after;
	a->stuck = false;
	fleet_act(f, ACT_UNLOAD, a);
}

static void
describe_rollback(
    struct snapshot_rollback *r, const struct artifact *a, struct moment now)
{
	memcpy(r->artifact_id, a->listing.artifact_id, sizeof(r->artifact_id));
	memcpy(r->name, a->listing.name, sizeof(r->name));
	memcpy(r->version, a->listing.version, sizeof(r->version));
	memcpy(r->text, a->cause.text, sizeof(r->text));
	r->reason = (uint32_t)a->cause.reason;
	r->threshold = (uint32_t)a->cause.threshold;
	r->value = a->cause.value;
	r->limit = a->cause.limit;
	r->wall_ns = now.wall_ns;
}

void
fleet_record_rollback(struct fleet *f, struct artifact *a,
    enum rollback_status status, struct moment now)
{
	struct snapshot_rollback *r;

	if (status == ROLLBACK_INITIATED) {
		r = state_rollback_add(f->state);
		if (r != NULL)
			describe_rollback(r, a, now);
	} else {
		r = state_rollback_latest(f->state, a->listing.artifact_id);
	}
	if (r != NULL) {
		r->status = (uint32_t)status;
		str_copy_cut(r->error, sizeof(r->error),
		    status == ROLLBACK_FAILED ? a->error : "");
	}
	fleet_act(f, ACT_SAVE, NULL);
	fleet_rollback_event(f, status, a);
}

/* The one that A replaced and that is still kept, or NULL. */
static struct artifact *
find_previous(struct fleet *f, const struct artifact *a)
{
	struct artifact *p;

	TAILQ_FOREACH (p, &f->artifacts, entry)
		if (p->successor == a->handle && p->status == STATUS_UNLOADED)
			return p;
	return NULL;
}

static void
restore(struct fleet *f, struct artifact *previous, const struct artifact *bad)
{
	struct snapshot_rollback *r;

	previous->status = STATUS_LOADING;
	previous->restoring = true;
	previous->predecessor = bad->handle;
	previous->successor = 0;
	previous->attempts = 0;
	previous->retry_boot_ns = 0;
	r = state_rollback_latest(f->state, bad->listing.artifact_id);
	if (r != NULL)
		memcpy(r->restored_version, previous->listing.version,
		    sizeof(r->restored_version));
}

/* The one that loads to come back in BAD's place, or NULL. */
static struct artifact *
find_restoring(struct fleet *f, const struct artifact *bad)
{
	struct artifact *p;

	TAILQ_FOREACH (p, &f->artifacts, entry)
		if (p->restoring && p->predecessor == bad->handle)
			return p;
	return NULL;
}

/* P is not needed yet: it is kept again, should NEWER be rolled back. */
static void
keep_again(struct fleet *f, struct artifact *p, const struct artifact *bad,
    const struct artifact *newer)
{
	struct snapshot_rollback *r;

	fleet_enter_stage(p, STATUS_UNLOADED);
	p->restoring = false;
	p->predecessor = 0;
	p->successor = newer->handle;
	r = state_rollback_latest(f->state, bad->listing.artifact_id);
	if (r != NULL)
		memset(r->restored_version, 0, sizeof(r->restored_version));
	fleet_come_back(f, p);
}

void
fleet_overtake_rollback(
    struct fleet *f, struct artifact *bad, struct artifact *newer)
{
	struct artifact *p = find_restoring(f, bad);

	bad->successor = 0;
	if (p != NULL && fleet_is_same_content(newer, bad) &&
	    !fleet_is_same_content(p, bad)) {
		/* What is rolled back is this one, too: P takes its place. */
		p->predecessor = newer->handle;
		newer->rolling_back = true;
		newer->cause = bad->cause;
		bad->rolling_back = false;
		p = NULL;
	}
	fleet_begin_unload(f, bad, UNLOAD_ROLLED_BACK, STATUS_ROLLED_BACK);
	if (p != NULL)
		keep_again(f, p, bad, newer);
}

void
fleet_restore_failed(struct fleet *f, struct artifact *a)
{
	struct artifact *bad = fleet_find(f, a->predecessor);

	a->restoring = false;
	if (bad != NULL && bad->rolling_back && artifact_is_loaded(bad))
		fleet_begin_unload(
		    f, bad, UNLOAD_ROLLED_BACK, STATUS_ROLLED_BACK);
}

void
fleet_begin_rollback(struct fleet *f, struct artifact *a,
    const struct rollback_cause *cause, struct moment now)
{
	struct artifact *previous;

	a->cause = *cause;
	a->rolling_back = true;
	f->rollbacks++;
	fleet_record_rollback(f, a, ROLLBACK_INITIATED, now);
	previous = find_previous(f, a);
	if (previous != NULL &&
	    artifact_expires_boot_ns(previous) > now.boot_ns && f->can_load)
		restore(f, previous, a);
	else
		fleet_begin_unload(
		    f, a, UNLOAD_ROLLED_BACK, STATUS_ROLLED_BACK);
	fleet_record_rollback(f, a, ROLLBACK_IN_PROGRESS, now);
	fleet_tick(f, now);
}

/* The one that an operator may take out. */
static int
find_to_end(struct fleet *f, const char *artifact_id, struct artifact **out)
{
	struct artifact *a = fleet_find_id(f, artifact_id);

	if (a == NULL)
		return -ENOENT;
	if (a->status == STATUS_UNLOADING || a->rolling_back || f->stopping)
		return -EALREADY;
	if (!artifact_is_loaded(a))
		return -ESRCH;
	*out = a;
	return 0;
}

const char *
fleet_refusal(int r)
{
	switch (r) {
	case -ENOENT:
		return "no such artifact";
	case -EALREADY:
		return "it is being unloaded already";
	case -ESRCH:
		return "it is not loaded";
	default:
		return strerror(-r);
	}
}

int
fleet_rollback(struct fleet *f, const char *artifact_id,
    const struct rollback_cause *cause, struct moment now)
{
	struct artifact *a;
	int r = find_to_end(f, artifact_id, &a);

	if (r < 0)
		return r;
	fleet_begin_rollback(f, a, cause, now);
	return 0;
}

int
fleet_unload(struct fleet *f, const char *artifact_id, struct moment now)
{
	struct artifact *a;
	int r = find_to_end(f, artifact_id, &a);

	if (r < 0)
		return r;
	fleet_begin_unload(f, a, UNLOAD_OPERATOR, STATUS_UNLOADED);
	fleet_tick(f, now);
	return 0;
}

int
fleet_pardon(struct fleet *f, const char *artifact_id, struct moment now)
{
	struct artifact *a;
	bool found = state_artifact_pardon(f->state, artifact_id);

	TAILQ_FOREACH (a, &f->artifacts, entry) {
		if (strcmp(a->listing.artifact_id, artifact_id) != 0 ||
		    !artifact_is_over(a))
			continue;
		found = true;
		a->ever_loaded = false;
		a->crashes = 0;
		a->mismatches = 0;
		a->rolling_back = false;
		a->successor = 0;
		fleet_set_error(a, NULL);
		if (a->listed)
			a->status = STATUS_DISCOVERED;
		a->retry_boot_ns = 0;
		a->attempts = 0;
	}
	if (!found)
		return -ENOENT;
	fleet_act(f, ACT_SAVE, NULL);
	fleet_tick(f, now);
	return 0;
}

static void
rolled_back(struct fleet *f, struct artifact *a, struct moment now)
{
	a->rolling_back = false;
	fleet_bury(f, a, STATUS_ROLLED_BACK, now);
	fleet_record_rollback(f, a, ROLLBACK_COMPLETED, now);
	fleet_event(f, EVENT_PROGRAM_ROLLED_BACK, a);
}

static void
retire(struct fleet *f, struct artifact *a, struct moment now)
{
	switch (a->unload_reason) {
	case UNLOAD_TTL_EXPIRED:
		fleet_bury(f, a, STATUS_EXPIRED, now);
		break;
	case UNLOAD_OPERATOR:
		fleet_bury(f, a, STATUS_UNLOADED, now);
		break;
	case UNLOAD_EVICTED:
		a->evicted = true;
		break;
	case UNLOAD_REPLACED:
		fleet_come_back(f, a);
		break;
	default: /* rolled back: with another one, which was told */
		break;
	}
}

void
fleet_unload_refused(
    struct fleet *f, struct artifact *a, const char *error, struct moment now)
{
	if (a->status != STATUS_UNLOADING)
		return;
	fleet_set_error(a, error);
	if (!a->error_reported) {
		a->error_reported = true;
		fleet_event(f, EVENT_PROGRAM_ERROR, a);
	}
	if (a->stuck)
		return;
	a->stuck = true;
	if (a->rolling_back)
		fleet_record_rollback(f, a, ROLLBACK_FAILED, now);
	/* An agentd that ends before it has gone must not load it again. */
	if (a->rolling_back)
		entomb(f, a, STATUS_ROLLED_BACK, now);
	else if (a->unload_reason == UNLOAD_TTL_EXPIRED ||
	    a->unload_reason == UNLOAD_OPERATOR)
		entomb(f, a, a->after_unload, now);
	fleet_tick(f, now);
}

void
fleet_unloaded(struct fleet *f, struct artifact *a, struct moment now)
{
	if (a->status != STATUS_UNLOADING)
		return;
	if (a->stuck)
		fleet_set_error(a, NULL);
	a->stuck = false;
	if (a->unload_reason < UNLOAD_MAX)
		f->unloads[a->unload_reason]++;
	a->status = a->after_unload;
	a->loaded_boot_ns = 0;
	fleet_event(f, EVENT_PROGRAM_UNLOADED, a);
	/* Whatever was faster: its time, the list, the end of the agent. */
	if (a->rolling_back)
		rolled_back(f, a, now);
	else
		retire(f, a, now);
	/* An evicted one comes back, a replaced one may: they keep theirs. */
	if (a->unload_reason != UNLOAD_EVICTED &&
	    a->unload_reason != UNLOAD_REPLACED)
		fleet_act(f, ACT_RELEASE, a);
	fleet_tick(f, now);
}

void
fleet_stop(struct fleet *f, struct moment now)
{
	struct artifact *a;

	f->stopping = true;
	TAILQ_FOREACH (a, &f->artifacts, entry)
		if (artifact_is_loaded(a))
			fleet_begin_unload(
			    f, a, UNLOAD_SHUTDOWN, STATUS_UNLOADED);
}
