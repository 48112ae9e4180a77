/* SPDX-License-Identifier: ISC */
/*
 * The fleet over a restart of agentd: begin nothing new, then go on from the
 * record of the agentd before.
 */
#include <string.h>

#include "agentd/fleet.h"
#include "agentd/handover.h"

void
fleet_settle(struct fleet *f)
{
	f->settling = true;
}

bool
fleet_is_settled(struct fleet *f)
{
	struct artifact *a;

	TAILQ_FOREACH (a, &f->artifacts, entry) {
		if (a->status == STATUS_UNLOADING || a->rolling_back ||
		    a->restoring || (a->status == STATUS_LOADING && a->working))
			return false;
		/* The next bpfd takes it back. */
		if (a->status == STATUS_LOADING && a->half_changed &&
		    fleet_runs_already(f, a) != NULL)
			return false;
	}
	return true;
}

void
fleet_settle_late(struct fleet *f)
{
	struct artifact *a, *p;

	TAILQ_FOREACH (a, &f->artifacts, entry) {
		p = fleet_runs_already(f, a);
		if (a->status == STATUS_LOADING && a->working && p != NULL)
			p->params_unknown = true;
	}
}

bool
fleet_describe(const struct artifact *a, struct handover_artifact *h)
{
	/* It goes with us, and the next one tells. */
	if (a->rolling_back)
		return false;
	/* In the kernel, or kept for coming back without a download. */
	if (!artifact_is_loaded(a) &&
	    (a->status != STATUS_UNLOADED ||
		(!a->evicted && a->successor == 0)))
		return false;
	memset(h, 0, sizeof(*h));
	h->listing = a->listing;
	h->handle = a->handle;
	h->predecessor = a->predecessor;
	h->successor = a->successor;
	h->load_order = a->load_order;
	h->loaded_boot_ns = a->loaded_boot_ns;
	h->loaded_wall_ns = a->loaded_wall_ns;
	h->sampled_boot_ns = a->sampled_boot_ns;
	h->sampled_wall_ns = a->sampled_wall_ns;
	h->watch_due_boot_ns = a->watch.due_boot_ns;
	h->watch_threshold = (uint32_t)a->watch.threshold;
	h->telemetry = a->telemetry;
	h->status = (uint32_t)a->status;
	h->unload_reason = (uint32_t)a->unload_reason;
	h->missing_polls = a->missing_polls;
	h->flags = (a->listed ? HANDOVER_LISTED : 0u) |
	    (a->evicted ? HANDOVER_EVICTED : 0u) |
	    (a->has_packet_counter ? HANDOVER_PACKETS : 0u) |
	    (a->params_unknown ? HANDOVER_PARAMS_UNKNOWN : 0u);
	return true;
}

/* What the state file says against going on with it; NULL: nothing. */
static const char *
check_state(const struct state_artifact *s, const uint8_t *params, size_t len)
{
	if (s == NULL)
		return "the state file does not know it";
	if (fleet_tombstone_holds(s, params, len))
		return "the state file says that it has ended";
	if (s->first_loaded_wall_ns == 0)
		return "the state file says that it was never loaded";
	return NULL;
}

struct artifact *
fleet_adopt(struct fleet *f, const struct handover_artifact *h,
    const uint8_t *params, const struct verified *v, struct moment now,
    const char **why)
{
	const struct state_artifact *s = state_artifact_find(
	    f->state, h->listing.artifact_id, h->listing.sha256);
	struct artifact *a;

	*why = check_state(s, params, h->listing.params_len);
	if (*why != NULL)
		return NULL;
	a = fleet_add(f, h->handle, &h->listing, params);
	fleet_resume(f, h->handle, h->load_order);
	a->listed = h->flags & HANDOVER_LISTED;
	a->evicted = h->flags & HANDOVER_EVICTED;
	a->has_packet_counter = h->flags & HANDOVER_PACKETS;
	a->params_unknown = h->flags & HANDOVER_PARAMS_UNKNOWN;
	a->missing_polls = h->missing_polls;
	a->status = (enum program_status)h->status;
	a->unload_reason = (enum unload_reason)h->unload_reason;
	a->predecessor = h->predecessor;
	a->successor = h->successor;
	a->load_order = h->load_order;
	a->loaded_boot_ns = h->loaded_boot_ns;
	a->loaded_wall_ns = h->loaded_wall_ns;
	a->telemetry = h->telemetry;
	a->sampled_boot_ns = h->sampled_boot_ns;
	a->sampled_wall_ns = h->sampled_wall_ns;
	a->watch.threshold = (enum threshold)h->watch_threshold;
	a->watch.due_boot_ns = h->watch_due_boot_ns;
	a->ever_loaded = true;
	a->first_loaded_boot_ns =
	    now.boot_ns - state_age_ns(s, now.boot_ns, now.wall_ns, f->boot_id);
	fleet_accept_plan(f, a, v);
	return a;
}

void
fleet_resume(struct fleet *f, uint64_t next_handle, uint64_t next_load_order)
{
	/* Handles and orders of what was taken up are not given out again. */
	if (f->next_handle < next_handle)
		f->next_handle = next_handle;
	if (f->next_load_order < next_load_order)
		f->next_load_order = next_load_order;
}

/* ---- rollbacks that an agentd before did not live to finish ---- */

static bool
is_unfinished(struct fleet *f, const struct snapshot_rollback *r)
{
	const struct artifact *a;

	if (r->status == ROLLBACK_COMPLETED)
		return false;
	TAILQ_FOREACH (a, &f->artifacts, entry)
		if (strcmp(a->listing.artifact_id, r->artifact_id) == 0 &&
		    (a->rolling_back ||
			(artifact_is_loaded(a) &&
			    strcmp(a->listing.version, r->version) == 0)))
			return false; /* of this agentd, or it runs */
	return true;
}

/* Other parameters of what was rolled back were restored. */
static bool
ended_alone(const struct snapshot_rollback *r)
{
	return strcmp(r->restored_version, r->version) == 0;
}

void
fleet_recall_rollbacks(struct fleet *f)
{
	const struct snapshot_rollback *r;
	struct state_artifact *s;
	size_t i, j;

	for (i = 0; i < f->state->rollback_count; i++) {
		r = &f->state->rollbacks[i];
		if (!is_unfinished(f, r) || ended_alone(r))
			continue;
		for (j = 0; j < f->state->artifact_count; j++) {
			s = f->state->artifacts[j];
			if (s->tombstone != 0 ||
			    strcmp(s->artifact_id, r->artifact_id) != 0 ||
			    strcmp(s->version, r->version) != 0)
				continue;
			s->tombstone = STATUS_ROLLED_BACK;
			s->unload_reason = UNLOAD_ROLLED_BACK;
			s->params_hash = 0;
			fleet_act(f, ACT_SAVE, NULL);
		}
	}
}

const struct snapshot_rollback *
fleet_finish_rollback(struct fleet *f)
{
	struct snapshot_rollback *r;
	size_t i;

	for (i = 0; i < f->state->rollback_count; i++) {
		r = &f->state->rollbacks[i];
		if (!is_unfinished(f, r))
			continue;
		r->status = ROLLBACK_COMPLETED;
		memset(r->error, 0, sizeof(r->error));
		fleet_act(f, ACT_SAVE, NULL);
		return r;
	}
	return NULL;
}
