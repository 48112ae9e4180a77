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
extern unsigned int loads, kills, samples, drops;

/* How the shell answers. */
extern bool shell_fails; /* not at all to a load */
extern enum work_result fetch_result, verify_result, load_result;
extern struct verified verified;
extern bool unload_at_once;
extern bool in_place;           /* parameters are changed without a load */
extern const char *last_reason; /* of the last event */

void setup(void);
void teardown(void);

/* The entry joins the list, which poll_list() shows once. */
extern struct artlist_entry entries[16];
struct artlist_entry *list_entry(
    const char *id, const char *name, const char *version, int checksum);
/* Its parameters are this digit, 1 to 9. */
void list_params(struct artlist_entry *e, unsigned int digit);
void poll_list(void);

/* Carry out all actions, and those that follow from them. */
void run(void);
/* Time passes. */
void pass(int64_t ns);

enum program_status status_of(const char *id);
void list_and_load(
    const char *id, const char *name, const char *version, int sum);
/* A sample with so many errors and all packets that fit. */
void sample(const char *id, uint64_t errors);

#endif
