/* SPDX-License-Identifier: ISC */
/*
 * Parameters of what runs: the same artifact, listed with others.  The core's
 * part; peer_params.c asks bpfd.
 *
 * Until bpfd has answered there are two records, as for any replacement: the
 * running one, and the newcomer that is to take its place.  If the running
 * program's maps could be changed, the two exchange what the registry said
 * of them, and the newcomer goes.
 *
 * A bpfd that dies over it may have written some: the next one takes them
 * back.  Until then, or for good where that cannot be, what runs stands for no
 * parameters at all, not even its own: whatever is listed replaces it.
 */
#include <string.h>

#include "agentd/fleet.h"
#include "common/crc32c.h"

uint32_t
fleet_params_hash(const uint8_t *params, size_t len)
{
	uint32_t hash = crc32c(0, params, len);

	return hash != 0 ? hash : 1;
}

bool
fleet_tombstone_holds(
    const struct state_artifact *s, const uint8_t *params, size_t len)
{
	return s->tombstone != 0 &&
	    (s->params_hash == 0 ||
		s->params_hash == fleet_params_hash(params, len));
}

bool
fleet_is_same_content(const struct artifact *a, const struct artifact *b)
{
	return strcmp(a->listing.artifact_id, b->listing.artifact_id) == 0 &&
	    memcmp(a->listing.sha256, b->listing.sha256,
		sizeof(b->listing.sha256)) == 0;
}

bool
fleet_ends_alone(
    struct fleet *f, const struct artifact *a, enum program_status end)
{
	const struct artifact *other;

	/* Refused, it never ran like this: others may be better. */
	if (end == STATUS_FAILED)
		return true;
	if (end != STATUS_ROLLED_BACK)
		return false;
	if (a->cause.reason == ROLLBACK_VERIFIER_FAILURE)
		return true;
	/* The parameters before were restored. */
	TAILQ_FOREACH (other, &f->artifacts, entry)
		if (other != a && artifact_is_loaded(other) &&
		    fleet_is_same_content(a, other))
			return true;
	return false;
}

/* A, not loaded and with no worker, ends as S says. */
static void
end_like(struct fleet *f, struct artifact *a, const struct state_artifact *s)
{
	if (a->status == STATUS_DOWNLOADING && a->working)
		fleet_act(f, ACT_CANCEL, a);
	fleet_enter_stage(a, (enum program_status)s->tombstone);
	a->unload_reason = (enum unload_reason)s->unload_reason;
	fleet_set_error(a, s->error);
	a->error_reported = true;
	fleet_act(f, ACT_RELEASE, a);
}

void
fleet_end_others(struct fleet *f, const struct artifact *ended,
    const struct state_artifact *s)
{
	struct artifact *a;

	TAILQ_FOREACH (a, &f->artifacts, entry)
		/* What bpfd is at comes to its end first. */
		if (a != ended && fleet_is_same_content(a, ended) &&
		    !a->restoring && artifact_is_pending(a) &&
		    !(a->status == STATUS_LOADING && a->working))
			end_like(f, a, s);
}

/* Another one of A's content that is leaving for good, or NULL. */
static const struct artifact *
find_leaving(struct fleet *f, const struct artifact *a)
{
	const struct artifact *other;

	TAILQ_FOREACH (other, &f->artifacts, entry)
		if (other != a && other->status == STATUS_UNLOADING &&
		    (other->unload_reason == UNLOAD_OPERATOR ||
			other->unload_reason == UNLOAD_TTL_EXPIRED ||
			other->unload_reason == UNLOAD_ROLLED_BACK) &&
		    fleet_is_same_content(a, other))
			return other;
	return NULL;
}

bool
fleet_has_ended(struct fleet *f, const struct artifact *a,
    enum unload_reason *reason, enum program_status *status)
{
	const struct state_artifact *s = state_artifact_find(
	    f->state, a->listing.artifact_id, a->listing.sha256);
	const struct artifact *leaving = find_leaving(f, a);

	if (a->restoring)
		return false;
	if (leaving != NULL) {
		*reason = leaving->unload_reason;
		*status = leaving->after_unload;
		return true;
	}
	if (s == NULL ||
	    !fleet_tombstone_holds(s, a->params, a->listing.params_len))
		return false;
	*reason = (enum unload_reason)s->unload_reason;
	*status = (enum program_status)s->tombstone;
	return true;
}

bool
fleet_waits_for_end(struct fleet *f, const struct artifact *a)
{
	return !a->restoring && find_leaving(f, a) != NULL;
}

struct artifact *
fleet_runs_already(struct fleet *f, const struct artifact *a)
{
	struct artifact *p = fleet_find(f, a->predecessor);

	if (p == NULL || !artifact_is_loaded(p) || p->rolling_back ||
	    a->restoring || a->load_anew || !a->listing.has_sha256 ||
	    !p->listing.has_sha256 || (p->params_unknown && !a->half_changed) ||
	    !fleet_is_same_content(a, p))
		return NULL;
	return p;
}

#define EXCHANGE(a, b)                                                         \
	do {                                                                   \
		__typeof__(a) kept = (a);                                      \
		(a) = (b);                                                     \
		(b) = kept;                                                    \
	} while (0)

void
fleet_params_changed(
    struct fleet *f, struct artifact *a, struct artifact *p, struct moment now)
{
	EXCHANGE(a->listing, p->listing);
	EXCHANGE(a->params, p->params);
	EXCHANGE(a->listed, p->listed);
	EXCHANGE(a->missing_polls, p->missing_polls);
	EXCHANGE(a->max_ttl_sec, p->max_ttl_sec);
	EXCHANGE(a->limits, p->limits);
	fleet_set_ttl(f, a);
	fleet_set_ttl(f, p);
	fleet_set_error(p, NULL);
	fleet_inherit(f, a, p);
	fleet_event_because(f, EVENT_PROGRAM_LOADED, p, "parameters");
	if (a->listed) {
		/* The list went back meanwhile: so does this. */
		a->predecessor = p->handle;
		fleet_enter_stage(a, STATUS_LOADING);
	} else {
		fleet_remove(f, a);
	}
	fleet_act(f, ACT_SAVE, NULL);
	fleet_tick(f, now);
}

void
fleet_params_mixed(struct fleet *f, struct artifact *a)
{
	struct artifact *p = fleet_find(f, a->predecessor);

	a->half_changed = false;
	if (p != NULL && fleet_is_same_content(a, p))
		p->params_unknown = true;
}

void
fleet_load_anew(struct fleet *f, struct artifact *a, struct moment now)
{
	struct artifact *p = fleet_find(f, a->predecessor);
	const struct state_artifact *s = state_artifact_find(
	    f->state, a->listing.artifact_id, a->listing.sha256);

	fleet_enter_stage(a, STATUS_LOADING);
	a->load_anew = true;
	/* What was half written has been taken back. */
	if (a->half_changed && p != NULL && fleet_is_same_content(a, p))
		p->params_unknown = false;
	a->half_changed = false;
	/* What ran may have been rolled back meanwhile: then so is this. */
	if (s != NULL &&
	    fleet_tombstone_holds(s, a->params, a->listing.params_len))
		end_like(f, a, s);
	fleet_tick(f, now);
}
