/* SPDX-License-Identifier: ISC */
/*
 * A fleet with a fake clock, a registry that lists what it is told, and a
 * shell that carries out every action at once, or counts it.
 */
#ifndef TESTS_UNIT_FLEET_FIXTURE_H
#define TESTS_UNIT_FLEET_FIXTURE_H

#include "agentd/fleet.h"

#define SEC NSEC_PER_SEC

extern struct fleet fleet;
extern struct state state;
extern struct moment now;
extern const uint8_t boot_id[16];

/* What was acted on since setup(). */
extern unsigned int events[EVENT_TYPE_MAX];
extern enum rollback_status rollback_statuses[16];
extern unsigned int rollback_status_count;
extern unsigned int fetches, loads, kills, samples, drops;
extern enum proc_role last_killed;

/* How the shell answers. */
extern bool shell_fails; /* not at all to a load, */
extern bool silent;      /* nor to a download or a check */
extern enum work_result fetch_result, verify_result, load_result;
extern struct verified verified;
extern bool unload_at_once;
extern bool in_place;           /* parameters are changed without a load */
extern const char *last_reason; /* of the last event */

/* Around each test: for UNIT_FIXTURE_MAIN(). */
void setup(void);
void teardown(void);
/* agentd starts anew: everything is forgotten but the state file. */
void restart(void);

/* ---- the registry ---- */

/* The entry joins the list, which poll_list() shows once. */
extern struct artlist_entry entries[16];
struct artlist_entry *list_entry(
    const char *id, const char *name, const char *version, int checksum);
/* Its parameters are this digit, 1 to 9. */
void list_params(struct artlist_entry *e, unsigned int digit);
/* A good poll, and all that follows from it. */
void poll_list(void);
/* So many good polls that say the list is as it was. */
void poll_unchanged(unsigned int times);

/* A poll with this entry alone; */
void list_only(
    const char *id, const char *name, const char *version, int checksum);
/* it is loaded then; */
void list_and_load(
    const char *id, const char *name, const char *version, int checksum);
/* "a" with these parameters; */
void list_with(unsigned int digit);
/* bpfd takes them, and answers nothing more until load_done(). */
struct artifact *list_and_hold(unsigned int digit);

/* ---- what happens ---- */

/* Carry out all actions, and those that follow from them. */
void run(void);
/* Time passes. */
void pass(int64_t ns);
/* bpfd answers at last, and from now on. */
void load_done(struct artifact *a, enum work_result result);
/* The kernel lets it go at last. */
void let_go(struct artifact *a);
/* By signal 9, whatever it was at. */
void worker_died(enum proc_role role);
/* A sample with so many errors and all packets that fit. */
void sample(const char *id, uint64_t errors);
/* An operator asks: 0 or what was answered. */
int roll_back(const char *id);
int unload(const char *id);
int pardon(const char *id);

/* ---- what there is ---- */

/* The living record of an id, or NULL. */
struct artifact *find(const char *id);
enum program_status status_of(const char *id);
/* The record that was made last, whatever its id. */
struct artifact *newest(void);
/* From now until time has something to bring. */
int64_t due_in(void);

#endif
