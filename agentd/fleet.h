/* SPDX-License-Identifier: ISC */
/*
 * The fleet: every artifact that agentd knows, the rules it lives by, and
 * the actions that follow from what happens.
 *
 * Functional core: nothing here waits, opens or sends.  Each function takes
 * the moment it happens at and appends actions to the fleet's queue; the
 * shell (act.c) takes them off and carries them out.
 */
#ifndef AGENTD_FLEET_H
#define AGENTD_FLEET_H

#include "agentd/artifact.h"
#include "agentd/index.h"
#include "agentd/state.h"
#include "common/msg.h"

/* The rules, from the configuration. */
struct fleet_rules {
	uint32_t max_programs;
	int64_t default_ttl_sec;
	bool unload_withdrawn;
	bool rollback_verifier_failure;
	int64_t rollback_delay_ns;
	int64_t probation_ns;
	struct rollback_limits limits;
};

enum action_type {
	ACT_FETCH,   /* download the artifact */
	ACT_CANCEL,  /* the download is not wanted any more */
	ACT_VERIFY,  /* its bytes are here: check them */
	ACT_LOAD,    /* it is verified: load it, in place of its predecessor */
	ACT_UNLOAD,  /* take it out of the kernel; answer fleet_unloaded() */
	ACT_SAMPLE,  /* take a sample of all now */
	ACT_EVENT,   /* tell the world */
	ACT_RELEASE, /* drop bytes, object and plan: it will not be loaded */
	ACT_DROP,    /* the record itself is gone: release what HANDLE held */
	ACT_KILL,    /* a worker did not answer in time: kill it */
	ACT_SAVE,    /* the state changed: write it */
};

struct action {
	TAILQ_ENTRY(action) entry;
	enum action_type type;
	uint64_t handle;
	struct custody *custody; /* ACT_DROP: taken over from the record */
	enum proc_role role;     /* ACT_KILL */
	/* ACT_EVENT */
	enum event_type event;
	enum rollback_status rollback_status;
	const char *reason; /* static, or NULL */
};

TAILQ_HEAD(action_queue, action);

struct fleet {
	struct artifact_list artifacts; /* in the order of their coming */
	struct artifact_index index;    /* all of these */
	struct action_queue actions;
	struct fleet_rules rules;
	struct state *state; /* borrowed: tombstones, first loads */
	uint8_t boot_id[16];
	uint64_t next_handle;
	uint64_t next_load_order;
	bool stopping;
	bool settling;  /* a restart is near: begin nothing new */
	bool list_seen; /* a good list has come since start */
	/* Which workers can take work: set by the shell. */
	bool can_fetch;
	bool can_verify;
	bool can_load;
	/* Totals for the snapshot. */
	uint64_t loads_ok;
	uint64_t loads_failed;
	uint64_t unloads[UNLOAD_MAX];
	uint64_t rollbacks;
	uint64_t verify_refused;
};

void fleet_init(struct fleet *f, const struct fleet_rules *rules,
    struct state *state, const uint8_t boot_id[16]);
/* Frees records and actions; custody must have been taken out before. */
void fleet_fini(struct fleet *f);

struct artifact *fleet_find(struct fleet *f, uint64_t handle);
/* The living record of an id: a superseded one is found by handle only. */
struct artifact *fleet_find_id(struct fleet *f, const char *artifact_id);
/* How many are in the kernel. */
unsigned int fleet_loaded_count(const struct fleet *f);
/* Whether any is in the kernel, on its way out of it, or being loaded; what
 * the kernel does not let go does not count. */
bool fleet_is_empty(const struct fleet *f);

/* The next action, owned by the caller (free()), or NULL. */
struct action *fleet_next_action(struct fleet *f);

/* ---- reconcile.c ---- */

/* A good list came: it is the desired set. */
void fleet_apply_list(
    struct fleet *f, const struct artlist *list, struct moment now);

/* A good poll said that the list is as it was: absences count on. */
void fleet_list_unchanged(struct fleet *f, struct moment now);

/* What was replaced is listed still, and what replaced it no longer. */
void fleet_come_back(struct fleet *f, struct artifact *a);

/* ---- lifecycle.c: what workers answered ---- */

/* Failures of a stage: RESULT and ERROR as the worker gave them. */
void fleet_fetched(struct fleet *f, struct artifact *a, enum work_result result,
    const char *error, struct moment now);

/* What the shell read from a verified plan, for the decisions here. */
struct verified {
	uint64_t max_ttl_sec;
	int64_t not_after_wall_ns;
	uint64_t sequence;    /* 0: none */
	const char *replaces; /* "" where none */
	struct loadplan_limits limits;
};
void fleet_verified(struct fleet *f, struct artifact *a,
    enum work_result result, const char *error, const struct verified *v,
    struct moment now);

void fleet_load_done(struct fleet *f, struct artifact *a,
    enum work_result result, const char *error, struct moment now);
/* A was loaded, but not into the place that it was to have: once more. */
void fleet_load_again(struct fleet *f, struct artifact *a, struct moment now);

/*
 * A worker died: what it worked on starts again, or fails for good when it
 * did not answer in time or died over the same artifact three times.  HOW:
 * "killed by signal 11".
 */
void fleet_worker_died(
    struct fleet *f, enum proc_role role, const char *how, struct moment now);

/* ---- parameters.c: the same artifact with other parameters ---- */

/* The same artifact, whatever its parameters? */
bool fleet_is_same_content(const struct artifact *a, const struct artifact *b);

/* Of the registry's text for an artifact; never 0. */
uint32_t fleet_params_hash(const uint8_t *params, size_t len);

/* Does S say that the artifact is not to be loaded with these parameters? */
bool fleet_tombstone_holds(
    const struct state_artifact *s, const uint8_t *params, size_t len);

/* Is END, A's last status, one of its parameters alone? */
bool fleet_ends_alone(
    struct fleet *f, const struct artifact *a, enum program_status end);

/* ENDED has, as S says, whatever its parameters: so do those on their way. */
void fleet_end_others(struct fleet *f, const struct artifact *ended,
    const struct state_artifact *s);

/* Has A's artifact ended, or is it about to, with these? */
bool fleet_has_ended(struct fleet *f, const struct artifact *a,
    enum unload_reason *reason, enum program_status *status);

/* Is A's artifact just leaving, so that A is not to be loaded meanwhile? */
bool fleet_waits_for_end(struct fleet *f, const struct artifact *a);

/* The one in the kernel that differs from A in parameters alone, or NULL. */
struct artifact *fleet_runs_already(struct fleet *f, const struct artifact *a);

/* A's parameters are in force in P's maps: P stands for what A was. */
void fleet_params_changed(
    struct fleet *f, struct artifact *a, struct artifact *p, struct moment now);

/* Some of A's are in force, and not to be taken back: what runs must be
 * replaced, also should the old ones be listed again. */
void fleet_params_mixed(struct fleet *f, struct artifact *a);

/* They cannot be, or P is gone: A is loaded like any other. */
void fleet_load_anew(struct fleet *f, struct artifact *a, struct moment now);

/* ---- schedule.c: time ---- */

/* Expiries, retries, deadlines; hands out work that is due. */
void fleet_tick(struct fleet *f, struct moment now);

/*
 * When fleet_tick() has something to do next, after NOW; INT64_MAX: never.
 * What is due already waits for a worker or a place, not for time.
 */
int64_t fleet_next_deadline(struct fleet *f, struct moment now);

/* ---- sample.c ---- */

/* Totals of one artifact's counters at one moment: telemetry, and verdict. */
void fleet_sampled(struct fleet *f, struct artifact *a,
    const struct msg_bpf_sampled *s, struct moment now);

/* ---- retire.c: ways out ---- */

/*
 * Roll back by hand or by signal.  0, -ENOENT: no such artifact, -EALREADY:
 * it is on its way out, -ESRCH: it is not loaded.
 */
int fleet_rollback(struct fleet *f, const char *artifact_id,
    const struct rollback_cause *cause, struct moment now) _must_check_;

/* The errors of those who ask for an end by hand, as they are told. */
const char *fleet_refusal(int r);

/* Its links are closed: the kernel has let it go. */
void fleet_unloaded(struct fleet *f, struct artifact *a, struct moment now);

/*
 * The kernel does not let go of all of A, which is being unloaded: ERROR says
 * of what.  It stays so until fleet_unloaded(); a rollback has failed until
 * then.
 */
void fleet_unload_refused(
    struct fleet *f, struct artifact *a, const char *error, struct moment now);

/* Roll back A, which is loaded, for CAUSE. */
void fleet_begin_rollback(struct fleet *f, struct artifact *a,
    const struct rollback_cause *cause, struct moment now);

/*
 * NEWER was loaded in BAD's place before what BAD's rollback waits for was
 * back: BAD goes at once, and the rollback ends with that; what it waited for
 * is kept for NEWER.  If NEWER is BAD's content with other parameters, it goes
 * with it, and the rollback when NEWER does.
 */
void fleet_overtake_rollback(
    struct fleet *f, struct artifact *bad, struct artifact *newer);

/* A, which was to come back, does not: the bad one goes without it. */
void fleet_restore_failed(struct fleet *f, struct artifact *a);

/* Into the history and to agent.rollback.status. */
void fleet_record_rollback(struct fleet *f, struct artifact *a,
    enum rollback_status status, struct moment now);

/* Unload by hand; the same errors. */
int fleet_unload(
    struct fleet *f, const char *artifact_id, struct moment now) _must_check_;

/* Lift a tombstone: it may load again.  -ENOENT: there is none. */
int fleet_pardon(
    struct fleet *f, const char *artifact_id, struct moment now) _must_check_;

/* Shutdown: nothing new, everything out. */
void fleet_stop(struct fleet *f, struct moment now);

/* ---- settle.c: over a restart of agentd ---- */

struct handover_artifact;

/* Begin nothing new but what is needed to finish what has begun. */
void fleet_settle(struct fleet *f);
/* Is nothing half done? */
bool fleet_is_settled(struct fleet *f);
/* It is too late to settle: what bpfd is at will not be known. */
void fleet_settle_late(struct fleet *f);

/* A as the record has it, but for descriptors; false: it has no place there. */
bool fleet_describe(const struct artifact *a, struct handover_artifact *h);

/*
 * Go on with an artifact of the record (checked), whose descriptors are all
 * there.  NULL with *WHY (static): the state file speaks against it.
 */
struct artifact *fleet_adopt(struct fleet *f, const struct handover_artifact *h,
    const uint8_t *params, const struct verified *v, struct moment now,
    const char **why) _must_check_;
/* At the start: what an agentd before was rolling back when it ended is not
 * loaded again. */
void fleet_recall_rollbacks(struct fleet *f);

/*
 * Nothing of an agentd before is in the kernel any more: one of its rollbacks
 * that has completed thereby, until the next call; NULL: no more.
 */
const struct snapshot_rollback *fleet_finish_rollback(struct fleet *f);

void fleet_resume(
    struct fleet *f, uint64_t next_handle, uint64_t next_load_order);

/* ---- shared by the files of the fleet ---- */

/* What the plan says of A's limits in time and counters. */
void fleet_accept_plan(
    struct fleet *f, struct artifact *a, const struct verified *v);

void fleet_act(
    struct fleet *f, enum action_type type, const struct artifact *a);
void fleet_event(
    struct fleet *f, enum event_type event, const struct artifact *a);
/* Likewise with metadata.reason (static). */
void fleet_event_because(struct fleet *f, enum event_type event,
    const struct artifact *a, const char *reason);
void fleet_rollback_event(
    struct fleet *f, enum rollback_status status, const struct artifact *a);
void fleet_kill(struct fleet *f, enum proc_role role);
/* To the stage STATUS, where the work is yet to be handed out. */
void fleet_enter_stage(struct artifact *a, enum program_status status);
/* What waits to replace FROM waits to replace TO. */
void fleet_inherit(
    struct fleet *f, const struct artifact *from, const struct artifact *to);
/* The TTL in force: the entry's, the default, the signed maximum. */
void fleet_set_ttl(struct fleet *f, struct artifact *a);
/* A new record by this handle, which none has or had. */
struct artifact *fleet_add(struct fleet *f, uint64_t handle,
    const struct artlist_entry *e, const uint8_t *params);
/* The record goes; its custody goes with an ACT_DROP. */
void fleet_remove(struct fleet *f, struct artifact *a);
void fleet_set_error(struct artifact *a, const char *error);
/* Begin to unload: REASON for the event, AFTER for the status to end in. */
void fleet_begin_unload(struct fleet *f, struct artifact *a,
    enum unload_reason reason, enum program_status after);
/* The state's record of A, made if need be; NULL (logged): no room. */
struct state_artifact *fleet_remember(
    struct fleet *f, struct artifact *a, struct moment now);
/* End of life with a tombstone, so that it is not loaded again. */
void fleet_bury(struct fleet *f, struct artifact *a, enum program_status status,
    struct moment now);

#endif
