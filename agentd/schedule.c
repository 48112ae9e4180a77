/* SPDX-License-Identifier: ISC */
/*
 * What time brings: expiries, retries, deadlines; and handing out the work
 * that is due to workers that are free.
 */
#include <string.h>

#include "agentd/fleet.h"

/* Downloads at once: more than one, so that a slow one holds up no other. */
#define FETCHES_AT_ONCE 4

/* Longer than any honest artifact takes on a slow, busy host. */
#define VERIFY_DEADLINE_NS (30 * NSEC_PER_SEC)
#define LOAD_DEADLINE_NS   (60 * NSEC_PER_SEC)

static void
expire(struct fleet *f, struct moment now)
{
	struct artifact *a;

	TAILQ_FOREACH (a, &f->artifacts, entry) {
		if (artifact_expires_boot_ns(a) > now.boot_ns)
			continue;
		if (artifact_is_loaded(a)) {
			fleet_begin_unload(
			    f, a, UNLOAD_TTL_EXPIRED, STATUS_EXPIRED);
		} else if ((artifact_is_pending(a) && !a->working) ||
		    a->evicted) {
			if (a->restoring)
				fleet_restore_failed(f, a);
			a->evicted = false;
			a->unload_reason = UNLOAD_TTL_EXPIRED;
			fleet_bury(f, a, STATUS_EXPIRED, now);
			fleet_act(f, ACT_RELEASE, a);
		}
	}
}

static int64_t
probation_ends(struct fleet *f, const struct artifact *a)
{
	const struct artifact *next = fleet_find(f, a->successor);

	/* A successor that went by another way than rollback ends it too. */
	if (next == NULL || next->loaded_boot_ns == 0)
		return next != NULL && next->status == STATUS_UNLOADING
		    ? INT64_MAX
		    : 0;
	return next->loaded_boot_ns + f->rules.probation_ns;
}

/* Those kept for a rollback of their successor go when that is proven. */
static void
end_probations(struct fleet *f, struct moment now)
{
	struct artifact *a, *next;

	for (a = TAILQ_FIRST(&f->artifacts); a != NULL; a = next) {
		next = TAILQ_NEXT(a, entry);
		if (a->status != STATUS_UNLOADED || a->successor == 0 ||
		    probation_ends(f, a) > now.boot_ns)
			continue;
		a->successor = 0;
		fleet_act(f, ACT_RELEASE, a);
		if (!a->listed)
			fleet_remove(f, a);
	}
}

/* Workers that did not answer in time are killed; their death is reported
 * by fleet_worker_died(). */
static void
enforce_deadlines(struct fleet *f, struct moment now)
{
	struct artifact *a;

	TAILQ_FOREACH (a, &f->artifacts, entry) {
		if (!a->working || a->deadline_boot_ns == 0 ||
		    now.boot_ns < a->deadline_boot_ns)
			continue;
		a->timed_out = true;
		a->deadline_boot_ns = 0;
		fleet_kill(
		    f, a->status == STATUS_VERIFYING ? PROC_VERIFY : PROC_BPF);
	}
}

static unsigned int
working_count(const struct fleet *f, enum program_status status)
{
	const struct artifact *a;
	unsigned int n = 0;

	TAILQ_FOREACH (a, &f->artifacts, entry)
		n += a->status == status && a->working;
	return n;
}

static void
hand_out(struct fleet *f, struct artifact *a, enum action_type type,
    int64_t deadline_boot_ns)
{
	a->working = true;
	a->timed_out = false;
	a->deadline_boot_ns = deadline_boot_ns;
	fleet_act(f, type, a);
}

static bool
is_due(const struct artifact *a, enum program_status status, struct moment now)
{
	return a->status == status && !a->working &&
	    a->retry_boot_ns <= now.boot_ns;
}

static void
hand_out_fetches(struct fleet *f, struct moment now)
{
	unsigned int n = working_count(f, STATUS_DOWNLOADING);
	struct artifact *a;

	TAILQ_FOREACH (a, &f->artifacts, entry) {
		if (n >= FETCHES_AT_ONCE)
			return;
		if (!is_due(a, STATUS_DISCOVERED, now) || !a->listed)
			continue;
		a->status = STATUS_DOWNLOADING;
		hand_out(f, a, ACT_FETCH, 0);
		n++;
	}
}

static void
hand_out_verification(struct fleet *f, struct moment now)
{
	struct artifact *a;

	if (working_count(f, STATUS_VERIFYING) > 0)
		return;
	TAILQ_FOREACH (a, &f->artifacts, entry) {
		if (is_due(a, STATUS_VERIFYING, now)) {
			hand_out(
			    f, a, ACT_VERIFY, now.boot_ns + VERIFY_DEADLINE_NS);
			return;
		}
	}
}

/* Places taken: what is in the kernel, or still on its way out. */
static unsigned int
places_taken(const struct fleet *f)
{
	const struct artifact *a;
	unsigned int n = 0;

	TAILQ_FOREACH (a, &f->artifacts, entry)
		n += artifact_is_loaded(a) ||
		    (a->status == STATUS_UNLOADING &&
			a->unload_reason != UNLOAD_REPLACED);
	return n;
}

static struct artifact *
first_loaded(struct fleet *f)
{
	struct artifact *a, *first = NULL;

	TAILQ_FOREACH (a, &f->artifacts, entry)
		if (artifact_is_loaded(a) && !a->rolling_back &&
		    (first == NULL || a->load_order < first->load_order))
			first = a;
	return first;
}

static bool
is_unloading(const struct fleet *f)
{
	const struct artifact *a;

	TAILQ_FOREACH (a, &f->artifacts, entry)
		if (a->status == STATUS_UNLOADING && !a->stuck)
			return true;
	return false;
}

/* Is there a place for A?  If not, the first loaded one makes room. */
static bool
make_room(struct fleet *f, const struct artifact *a)
{
	struct artifact *p = fleet_find(f, a->predecessor);
	struct artifact *first;

	if (p != NULL && artifact_is_loaded(p))
		return true; /* takes over its predecessor's place */
	if (places_taken(f) < f->rules.max_programs)
		return true;
	if (is_unloading(f))
		return false; /* a place is about to become free */
	first = first_loaded(f);
	if (first != NULL)
		fleet_begin_unload(f, first, UNLOAD_EVICTED, STATUS_UNLOADED);
	return false;
}

static void
hand_out_load(struct fleet *f, struct moment now)
{
	struct artifact *a, *due = NULL;

	if (working_count(f, STATUS_LOADING) > 0)
		return;
	/* Bringing something back goes before everything new. */
	TAILQ_FOREACH (a, &f->artifacts, entry)
		if (is_due(a, STATUS_LOADING, now) &&
		    (!f->settling || a->restoring ||
			(a->half_changed &&
			    fleet_runs_already(f, a) != NULL)) &&
		    !fleet_waits_for_end(f, a) &&
		    (due == NULL || (a->restoring && !due->restoring)))
			due = a;
	if (due != NULL && make_room(f, due))
		hand_out(f, due, ACT_LOAD, now.boot_ns + LOAD_DEADLINE_NS);
}

/* An evicted one comes back when a place is free that nobody waits for. */
static void
bring_back_evicted(struct fleet *f)
{
	struct artifact *a, *back = NULL;

	if (places_taken(f) >= f->rules.max_programs)
		return;
	TAILQ_FOREACH (a, &f->artifacts, entry) {
		if (artifact_is_pending(a) && a->listed)
			return;
		if (a->evicted && a->listed &&
		    (back == NULL || a->load_order > back->load_order))
			back = a;
	}
	if (back != NULL) {
		back->evicted = false;
		back->status = STATUS_LOADING;
		back->retry_boot_ns = 0;
	}
}

/* A breach whose delay is over is judged by a fresh sample. */
static void
look_again(struct fleet *f, struct moment now)
{
	struct artifact *a;

	TAILQ_FOREACH (a, &f->artifacts, entry) {
		if (!artifact_is_loaded(a) || a->rolling_back || a->asked ||
		    a->watch.threshold == THRESHOLD_NONE ||
		    a->watch.due_boot_ns > now.boot_ns)
			continue;
		a->asked = true;
		fleet_act(f, ACT_SAMPLE, NULL);
	}
}

void
fleet_tick(struct fleet *f, struct moment now)
{
	if (f->stopping)
		return;
	expire(f, now);
	look_again(f, now);
	end_probations(f, now);
	enforce_deadlines(f, now);
	if (!f->settling)
		bring_back_evicted(f);
	if (f->can_fetch && !f->settling)
		hand_out_fetches(f, now);
	if (f->can_verify && !f->settling)
		hand_out_verification(f, now);
	if (f->can_load)
		hand_out_load(f, now);
}

static void
sooner(int64_t *next, int64_t at, struct moment now)
{
	if (at > now.boot_ns && at < *next)
		*next = at;
}

int64_t
fleet_next_deadline(struct fleet *f, struct moment now)
{
	const struct artifact *a;
	int64_t next = INT64_MAX;

	TAILQ_FOREACH (a, &f->artifacts, entry) {
		if (artifact_is_loaded(a) || artifact_is_pending(a) ||
		    a->evicted)
			sooner(&next, artifact_expires_boot_ns(a), now);
		if (artifact_is_pending(a) && !a->working)
			sooner(&next, a->retry_boot_ns, now);
		if (a->working)
			sooner(&next, a->deadline_boot_ns, now);
		if (artifact_is_loaded(a) && !a->rolling_back)
			sooner(&next, a->watch.due_boot_ns, now);
		if (a->status == STATUS_UNLOADED && a->successor != 0)
			sooner(&next, probation_ends(f, a), now);
	}
	return next;
}
