/* SPDX-License-Identifier: ISC */
/*
 * What workers answered, and what follows from it: on to the next stage, try
 * again later, or refused for good.
 */
#include <inttypes.h>
#include <string.h>

#include "agentd/backoff.h"
#include "agentd/fleet.h"
#include "agentd/semver.h"

#define RETRY_FIRST_NS (1 * NSEC_PER_SEC)
#define RETRY_CAP_NS   (300 * NSEC_PER_SEC)

/* A worker that dies over one artifact this often dies because of it. */
#define CRASHES_UNTIL_REFUSED 3

/*
 * So often may a download have another checksum than the list says: a
 * registry that lists before it stores, or a cache in between, gets half a
 * minute (1, 2, 4, 8, 16 s) to come to itself.
 */
#define MISMATCHES_UNTIL_REFUSED 6

/* Tell the world why A failed, unless it was told that already. */
static void
report_error(struct fleet *f, struct artifact *a)
{
	if (a->error == NULL || a->error_reported)
		return;
	a->error_reported = true;
	fleet_event(f, EVENT_PROGRAM_ERROR, a);
}

static void
refuse(struct fleet *f, struct artifact *a, enum program_status status,
    struct moment now)
{
	if (a->restoring)
		fleet_restore_failed(f, a);
	report_error(f, a);
	fleet_bury(f, a, status, now);
	fleet_act(f, ACT_RELEASE, a);
}

static void
retry_later(struct fleet *f, struct artifact *a, enum program_status stage,
    struct moment now)
{
	unsigned int attempts = a->attempts + 1;

	report_error(f, a);
	fleet_enter_stage(a, stage);
	a->attempts = attempts;
	a->retry_boot_ns =
	    now.boot_ns + backoff_ns(attempts, RETRY_FIRST_NS, RETRY_CAP_NS);
}

void
fleet_fetched(struct fleet *f, struct artifact *a, enum work_result result,
    const char *error, struct moment now)
{
	if (a->status != STATUS_DOWNLOADING || !a->working)
		return; /* a late answer for something cancelled */
	if (result == WORK_OK) {
		fleet_enter_stage(a, STATUS_VERIFYING);
		fleet_tick(f, now);
		return;
	}
	fleet_set_error(a, error);
	if (result == WORK_TRANSIENT) {
		retry_later(f, a, STATUS_DISCOVERED, now);
	} else {
		f->loads_failed++;
		refuse(f, a, STATUS_FAILED, now);
	}
	fleet_tick(f, now);
}

/* What was accepted once stays good as long as it is listed. */
static bool
was_accepted(struct fleet *f, const struct artifact *a)
{
	const struct state_artifact *s = state_artifact_find(
	    f->state, a->listing.artifact_id, a->listing.sha256);

	/* A record alone says little: what was refused has one, too. */
	return a->ever_loaded || (s != NULL && s->accepted);
}

/* Is it older than what was accepted of its name, by one order or the other?
 * Both orders are the signer's; the registry can change neither. */
static const char *
check_downgrade(const struct artlist_entry *e, const struct state_name *known,
    uint64_t sequence, char *text, size_t size)
{
	int n;

	if (semver_compare(e->version, known->highest_version) < 0)
		n = snprintf(text, size, "version %s is older than %s",
		    e->version, known->highest_version);
	else if (sequence == 0 && known->highest_sequence > 0)
		n = snprintf(text, size,
		    "sequence: version %s carries none, after %" PRIu64,
		    e->version, known->highest_sequence);
	else if (sequence < known->highest_sequence)
		n = snprintf(text, size,
		    "sequence %" PRIu64 " of version %s is lower than %" PRIu64,
		    sequence, e->version, known->highest_sequence);
	else
		return NULL;
	if (n > 0 && (size_t)n < size)
		(void)snprintf(text + n, size - (size_t)n,
		    ", which was accepted before: a downgrade needs 'aegisctl "
		    "allow-downgrade %s %s'",
		    e->name, e->version);
	return text;
}

/* Why a verified artifact must not be loaded all the same, or NULL. */
static const char *
check_policy(struct fleet *f, struct artifact *a, const struct verified *v,
    struct moment now, char *text, size_t size)
{
	const struct artlist_entry *e = &a->listing;
	const struct state_name *known;
	char until[CLOCK_RFC3339_SIZE];

	if (v->not_after_wall_ns != 0 && now.wall_ns > v->not_after_wall_ns) {
		clock_format_rfc3339(v->not_after_wall_ns, until);
		(void)snprintf(text, size,
		    "not_after: the artifact was good until %s", until);
		return text;
	}
	known = state_name_find(f->state, e->name);
	if (known == NULL || was_accepted(f, a) ||
	    strcmp(e->version, known->allow_downgrade) == 0)
		return NULL;
	return check_downgrade(e, known, v->sequence, text, size);
}

void
fleet_accept_plan(struct fleet *f, struct artifact *a, const struct verified *v)
{
	a->max_ttl_sec =
	    v->max_ttl_sec > INT64_MAX ? INT64_MAX : (int64_t)v->max_ttl_sec;
	fleet_set_ttl(f, a);
	a->limits = f->rules.limits;
	rollback_tighten(&a->limits, &v->limits);
	if (v->replaces[0] != '\0' && a->listing.replaces[0] == '\0' &&
	    str_copy(a->listing.replaces, sizeof(a->listing.replaces),
		v->replaces) < 0)
		a->listing.replaces[0] = '\0';
}

/* From now on nothing older of this name is accepted. */
static void
remember_accepted(struct fleet *f, struct artifact *a, const struct verified *v,
    struct moment now)
{
	struct state_artifact *s;

	state_name_accept(
	    f->state, a->listing.name, a->listing.version, v->sequence);
	s = fleet_remember(f, a, now);
	if (s != NULL)
		s->accepted = 1;
}

/* The metadata may name what this one replaces; the entry did not. */
static void
find_named_predecessor(struct fleet *f, struct artifact *a)
{
	struct artifact *p;

	if (a->predecessor != 0 || a->listing.replaces[0] == '\0')
		return;
	p = fleet_find_id(f, a->listing.replaces);
	if (p != NULL && p != a && artifact_is_loaded(p))
		a->predecessor = p->handle;
}

/* Download it anew, some times with pauses; then it is refused.  True: it
 * will be tried again. */
static bool
fetch_anew(struct fleet *f, struct artifact *a, struct moment now)
{
	if (++a->mismatches >= MISMATCHES_UNTIL_REFUSED)
		return false;
	a->attempts = a->mismatches - 1;
	retry_later(f, a, STATUS_DISCOVERED, now);
	fleet_act(f, ACT_RELEASE, a);
	return true;
}

void
fleet_verified(struct fleet *f, struct artifact *a, enum work_result result,
    const char *error, const struct verified *v, struct moment now)
{
	char text[AEGIS_TEXT_SIZE * 2];

	if (a->status != STATUS_VERIFYING || !a->working)
		return;
	if (result == WORK_OK) {
		error = check_policy(f, a, v, now, text, sizeof(text));
		if (error != NULL)
			result = WORK_REFUSED;
	}
	if (result == WORK_OK) {
		fleet_accept_plan(f, a, v);
		find_named_predecessor(f, a);
		remember_accepted(f, a, v, now);
		fleet_enter_stage(a, STATUS_LOADING);
		fleet_tick(f, now);
		return;
	}
	fleet_set_error(a, error);
	if (result == WORK_TRANSIENT) {
		/* The bytes stay: only the checking is tried again. */
		retry_later(f, a, STATUS_VERIFYING, now);
	} else if (result != WORK_MISMATCH || !fetch_anew(f, a, now)) {
		f->verify_refused++;
		f->loads_failed++;
		refuse(f, a, STATUS_FAILED, now);
	}
	fleet_tick(f, now);
}

/* A is in the kernel: what it replaces goes, or what it brings back stays. */
static void
settle_predecessor(struct fleet *f, struct artifact *a)
{
	struct artifact *p = fleet_find(f, a->predecessor);

	a->predecessor = 0;
	if (p == NULL || !artifact_is_loaded(p))
		return;
	if (a->restoring) {
		/* Though not listed, A stays for as long as P is listed. */
		p->predecessor = a->handle;
		fleet_inherit(f, p, a);
		fleet_begin_unload(
		    f, p, UNLOAD_ROLLED_BACK, STATUS_ROLLED_BACK);
		return;
	}
	fleet_inherit(f, p, a); /* what came while this was loading */
	if (p->rolling_back) {
		fleet_overtake_rollback(f, p, a);
		return;
	}
	p->successor = a->handle;
	fleet_begin_unload(f, p, UNLOAD_REPLACED, STATUS_UNLOADED);
}

static void
remember_load(struct fleet *f, struct artifact *a, struct moment now)
{
	struct state_artifact *s;

	if (!a->ever_loaded) {
		a->ever_loaded = true;
		a->first_loaded_boot_ns = now.boot_ns;
	}
	s = fleet_remember(f, a, now);
	if (s == NULL || s->first_loaded_wall_ns != 0)
		return;
	s->first_loaded_wall_ns = now.wall_ns;
	s->first_loaded_boot_ns = now.boot_ns;
	memcpy(s->boot_id, f->boot_id, sizeof(s->boot_id));
}

static void
loaded(struct fleet *f, struct artifact *a, struct moment now)
{
	fleet_enter_stage(a, STATUS_LOADED);
	f->loads_ok++;
	a->crashes = 0;
	a->evicted = false;
	a->load_anew = a->half_changed = a->params_unknown = false;
	a->loaded_boot_ns = now.boot_ns;
	a->loaded_wall_ns = now.wall_ns;
	a->load_order = ++f->next_load_order;
	a->unload_reason = UNLOAD_NONE;
	a->sampled_boot_ns = 0;
	memset(&a->telemetry, 0, sizeof(a->telemetry));
	memset(&a->watch, 0, sizeof(a->watch));
	fleet_set_error(a, NULL);
	remember_load(f, a, now);
	fleet_event(f, EVENT_PROGRAM_LOADED, a);
	settle_predecessor(f, a);
	a->restoring = false;
	fleet_act(f, ACT_SAMPLE, NULL);
}

/* The kernel's verifier said no: by configuration that is a rollback. */
static void
refused_by_verifier(struct fleet *f, struct artifact *a, struct moment now)
{
	if (!f->rules.rollback_verifier_failure || a->restoring) {
		refuse(f, a, STATUS_FAILED, now);
		return;
	}
	memset(&a->cause, 0, sizeof(a->cause));
	a->cause.reason = ROLLBACK_VERIFIER_FAILURE;
	a->cause.threshold = THRESHOLD_VERIFIER_FAILURE;
	a->cause.value = 1;
	f->rollbacks++;
	fleet_record_rollback(f, a, ROLLBACK_INITIATED, now);
	fleet_record_rollback(f, a, ROLLBACK_IN_PROGRESS, now);
	refuse(f, a, STATUS_ROLLED_BACK, now);
	fleet_record_rollback(f, a, ROLLBACK_COMPLETED, now);
	fleet_event(f, EVENT_PROGRAM_ROLLED_BACK, a);
}

void
fleet_load_again(struct fleet *f, struct artifact *a, struct moment now)
{
	fleet_enter_stage(a, STATUS_LOADING);
	fleet_tick(f, now);
}

void
fleet_load_done(struct fleet *f, struct artifact *a, enum work_result result,
    const char *error, struct moment now)
{
	enum program_status status;
	enum unload_reason reason;
	bool over;

	if (a->status != STATUS_LOADING || !a->working)
		return;
	a->working = false;
	if (result == WORK_OK) {
		over = fleet_has_ended(f, a, &reason, &status);
		loaded(f, a, now);
		if (over)
			fleet_begin_unload(f, a, reason, status);
		else if (f->stopping)
			fleet_begin_unload(
			    f, a, UNLOAD_SHUTDOWN, STATUS_UNLOADED);
		fleet_tick(f, now);
		return;
	}
	fleet_set_error(a, error);
	if (result == WORK_TRANSIENT && !a->restoring) {
		retry_later(f, a, STATUS_LOADING, now);
	} else {
		f->loads_failed++;
		if (result == WORK_VERIFIER)
			refused_by_verifier(f, a, now);
		else
			refuse(f, a, STATUS_FAILED, now);
	}
	fleet_tick(f, now);
}

/* Which stage a worker works for. */
static enum program_status
stage_of(enum proc_role role)
{
	switch (role) {
	case PROC_REGISTRY:
		return STATUS_DOWNLOADING;
	case PROC_VERIFY:
		return STATUS_VERIFYING;
	case PROC_BPF:
		return STATUS_LOADING;
	default:
		return STATUS_MAX;
	}
}

void
fleet_worker_died(
    struct fleet *f, enum proc_role role, const char *how, struct moment now)
{
	enum program_status stage = stage_of(role);
	struct artifact *a, *next;
	char text[AEGIS_TEXT_SIZE];
	struct artifact *running;
	bool changing;

	for (a = TAILQ_FIRST(&f->artifacts); a != NULL; a = next) {
		next = TAILQ_NEXT(a, entry);
		if (a->status != stage || !a->working)
			continue;
		if (stage == STATUS_DOWNLOADING) {
			/* Bytes that fetchd chokes on are the server's. */
			fleet_enter_stage(a, STATUS_DISCOVERED);
			continue;
		}
		fleet_enter_stage(a, stage);
		a->crashes++;
		/* What was half changed is taken back first. */
		running =
		    stage == STATUS_LOADING ? fleet_runs_already(f, a) : NULL;
		changing = running != NULL;
		if (changing)
			a->half_changed = running->params_unknown = true;
		if ((a->timed_out && !changing) ||
		    a->crashes >= CRASHES_UNTIL_REFUSED) {
			(void)snprintf(text, sizeof(text),
			    "%s %s over this artifact%s%s", proc_name(role),
			    how, a->timed_out ? ": no answer in time" : "",
			    changing ? "; what runs may have some of its "
				       "parameters"
				     : "");
			fleet_set_error(a, text);
			f->loads_failed++;
			refuse(f, a, STATUS_FAILED, now);
		}
	}
	fleet_tick(f, now);
}
