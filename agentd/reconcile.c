/* SPDX-License-Identifier: ISC */
/*
 * The list is the desired set: what is new, what stays, what replaces what,
 * and what has gone.
 */
#include <string.h>

#include "agentd/fleet.h"
#include "common/log.h"

/* CONTRACT 1: an artifact is withdrawn when it misses 2 good polls. */
#define POLLS_UNTIL_WITHDRAWN 2

static bool
same_params(const struct artifact *a, const struct artlist_entry *e,
    const uint8_t *params)
{
	return a->listing.params_len == e->params_len &&
	    (e->params_len == 0 ||
		memcmp(a->params, params, e->params_len) == 0);
}

/* The record that stands for this entry, or NULL if it is new. */
static struct artifact *
find_entry(
    struct fleet *f, const struct artlist_entry *e, const uint8_t *params)
{
	struct artifact *a = NULL;

	while ((a = index_next(&f->index, e->artifact_id, a)) != NULL)
		/* One that stands for no parameters at all: parameters.c. */
		if (memcmp(a->listing.sha256, e->sha256, sizeof(e->sha256)) ==
			0 &&
		    same_params(a, e, params) && !a->params_unknown)
			break;
	return a;
}

/* May A, listed again, come back after it was replaced? */
static bool
may_return(struct fleet *f, const struct artifact *a)
{
	const struct artifact *next;

	if (a->status != STATUS_UNLOADED || a->evicted ||
	    a->unload_reason == UNLOAD_OPERATOR)
		return false;
	next = fleet_find(f, a->successor);
	return next == NULL ||
	    (strcmp(next->listing.artifact_id, a->listing.artifact_id) != 0 &&
		strcmp(next->listing.replaces, a->listing.artifact_id) != 0);
}

static void
discover_again(struct artifact *a)
{
	fleet_enter_stage(a, STATUS_DISCOVERED);
	a->successor = 0;
}

static void
keep_entry(struct fleet *f, struct artifact *a, const struct artlist_entry *e)
{
	bool was_listed = a->listed;

	a->listed = true;
	a->missing_polls = 0;
	a->listing.ttl_sec = e->ttl_sec;
	memcpy(a->listing.signature, e->signature, sizeof(e->signature));
	memcpy(a->listing.replaces, e->replaces, sizeof(e->replaces));
	fleet_set_ttl(f, a);
	if (!was_listed && may_return(f, a))
		discover_again(a);
}

/* Has this id and checksum ended before, perhaps under an earlier agentd? */
static void
recall(struct fleet *f, struct artifact *a, struct moment now)
{
	const struct state_artifact *s;

	s = state_artifact_find(
	    f->state, a->listing.artifact_id, a->listing.sha256);
	if (s == NULL)
		return;
	if (s->first_loaded_wall_ns != 0) {
		a->ever_loaded = true;
		a->first_loaded_boot_ns = now.boot_ns -
		    state_age_ns(s, now.boot_ns, now.wall_ns, f->boot_id);
	}
	if (fleet_tombstone_holds(s, a->params, a->listing.params_len)) {
		a->status = (enum program_status)s->tombstone;
		a->unload_reason = (enum unload_reason)s->unload_reason;
		fleet_set_error(a, s->error);
		a->error_reported = true;
	} else if (artifact_expires_boot_ns(a) <= now.boot_ns) {
		fleet_bury(f, a, STATUS_EXPIRED, now);
	}
}

/* The oldest record of an id that can stay until another takes its place. */
static struct artifact *
find_replaceable(struct fleet *f, const char *artifact_id)
{
	struct artifact *p = NULL, *oldest = NULL;

	while ((p = index_next(&f->index, artifact_id, p)) != NULL)
		if (artifact_is_loaded(p))
			oldest = p;
	return oldest;
}

/*
 * What A replaces: the same id's older record, the one it names, or one of
 * its name that the list has dropped, which are in GONE up to a NULL.
 */
static struct artifact *
find_predecessor(
    struct fleet *f, const struct artifact *a, struct artifact *const *gone)
{
	struct artifact *p = find_replaceable(f, a->listing.artifact_id);

	if (p == NULL && a->listing.replaces[0] != '\0')
		p = find_replaceable(f, a->listing.replaces);
	if (p != NULL)
		return p;
	while (*gone != NULL &&
	    strcmp((*gone)->listing.name, a->listing.name) != 0)
		gone++;
	return *gone;
}

/* Those that another one is already to take the place of. */
static void
mark_taken(struct fleet *f)
{
	struct artifact *a, *p;

	TAILQ_FOREACH (a, &f->artifacts, entry)
		a->taken = false;
	TAILQ_FOREACH (a, &f->artifacts, entry) {
		p = a->listed ? fleet_find(f, a->predecessor) : NULL;
		if (p != NULL)
			p->taken = true;
	}
}

/* Those in the kernel that the list has dropped, and NULL; free() it. */
static struct artifact **
collect_gone(struct fleet *f)
{
	struct artifact **gone = calloc(f->index.count + 1, sizeof(*gone));
	struct artifact *a;
	size_t n = 0;

	if (gone == NULL)
		fatal("out of memory");
	TAILQ_FOREACH (a, &f->artifacts, entry)
		if (artifact_is_loaded(a) && !a->listed)
			gone[n++] = a;
	return gone;
}

/*
 * What was refused replaces nothing, but what it was to replace stays for it
 * (CONTRACT 4).  Refused by an earlier agentd, it is new to this one; a
 * neighbour that failed long ago keeps nothing that is withdrawn today.
 */
static bool
may_replace(const struct artifact *a, uint64_t newest_known)
{
	return artifact_is_pending(a) ||
	    (a->handle > newest_known &&
		(a->status == STATUS_FAILED ||
		    a->status == STATUS_ROLLED_BACK));
}

static void
find_predecessors(struct fleet *f, uint64_t newest_known)
{
	_cleanup_free_ struct artifact **gone = collect_gone(f);
	struct artifact *a, *p;

	mark_taken(f);
	TAILQ_FOREACH (a, &f->artifacts, entry) {
		if (!a->listed || !may_replace(a, newest_known) ||
		    a->restoring || fleet_find(f, a->predecessor) != NULL)
			continue;
		p = find_predecessor(f, a, gone);
		if (p != NULL && p->taken)
			p = NULL;
		a->predecessor = p != NULL ? p->handle : 0;
		if (p != NULL)
			p->taken = true;
	}
}

void
fleet_come_back(struct fleet *f, struct artifact *a)
{
	const struct artifact *next = fleet_find(f, a->successor);

	if (!a->listed || next == NULL || next->listed || f->stopping)
		return;
	discover_again(a);
	find_predecessors(f, f->next_handle);
}

/* Older records of the same id that never got into the kernel are moot. */
static void
drop_superseded(struct fleet *f, const struct artifact *newer)
{
	const char *id = newer->listing.artifact_id;
	struct artifact *a, *next;

	for (a = index_next(&f->index, id, newer); a != NULL; a = next) {
		next = index_next(&f->index, id, a);
		a->listed = false;
		/* What bpfd is at comes to its end first; so does a rollback
		 * that waits for what it restores. */
		if ((a->status == STATUS_LOADING && a->working) || a->restoring)
			continue;
		if (artifact_is_pending(a) ||
		    (artifact_is_over(a) && a->successor == 0))
			fleet_remove(f, a);
	}
}

static void
add_entry(struct fleet *f, const struct artlist_entry *e, const uint8_t *params,
    struct moment now)
{
	struct artifact *a = fleet_add(f, ++f->next_handle, e, params);

	recall(f, a, now);
	drop_superseded(f, a);
}

static void
handle_missing(struct fleet *f, struct artifact *a)
{
	if (++a->missing_polls < POLLS_UNTIL_WITHDRAWN)
		return;
	if (artifact_is_loaded(a)) {
		if (f->rules.unload_withdrawn && !a->taken)
			fleet_begin_unload(
			    f, a, UNLOAD_WITHDRAWN, STATUS_UNLOADED);
		return;
	}
	/* In the kernel, on its way out, or kept for probation: not yet. */
	if (a->status == STATUS_UNLOADING ||
	    (a->working && a->status == STATUS_LOADING) || a->restoring ||
	    a->successor != 0)
		return;
	fleet_remove(f, a);
}

static void
look_for_missing(struct fleet *f)
{
	struct artifact *a, *next;

	for (a = TAILQ_FIRST(&f->artifacts); a != NULL; a = next) {
		next = TAILQ_NEXT(a, entry);
		if (!a->listed)
			handle_missing(f, a);
	}
}

void
fleet_list_unchanged(struct fleet *f, struct moment now)
{
	if (f->stopping || !f->list_seen)
		return;
	mark_taken(f);
	look_for_missing(f);
	fleet_tick(f, now);
}

/* When the state is full, it forgets what was seen longest ago. */
static void
mark_seen(struct fleet *f, struct moment now)
{
	const struct artifact *a;

	TAILQ_FOREACH (a, &f->artifacts, entry)
		if (a->listed)
			state_artifact_seen(f->state, a->listing.artifact_id,
			    a->listing.sha256, now.wall_ns);
}

void
fleet_apply_list(struct fleet *f, const struct artlist *list, struct moment now)
{
	const struct artlist_entry *e;
	struct artifact *a;
	uint32_t i, n = list->header->entry_count;
	_cleanup_free_ struct artifact **known = calloc(n + 1, sizeof(*known));
	const uint64_t newest_known = f->next_handle;

	if (known == NULL || f->stopping)
		return;
	f->list_seen = true;
	for (i = 0; i < n; i++) {
		e = &list->entries[i];
		known[i] = find_entry(f, e, list->data + e->params_off);
		if (known[i] != NULL)
			known[i]->in_list = true;
	}
	/* A record that stands for an entry must not seem gone meanwhile. */
	TAILQ_FOREACH (a, &f->artifacts, entry) {
		a->listed &= a->in_list;
		a->in_list = false;
	}
	for (i = 0; i < n; i++)
		if (known[i] != NULL)
			keep_entry(f, known[i], &list->entries[i]);
	for (i = 0; i < n; i++) {
		e = &list->entries[i];
		if (known[i] == NULL)
			add_entry(f, e, list->data + e->params_off, now);
	}
	find_predecessors(f, newest_known);
	mark_seen(f, now);
	look_for_missing(f);
	fleet_tick(f, now);
}
