/* SPDX-License-Identifier: ISC */
/*
 * Supervision of the workers: one row each, started through the spawner,
 * configured, waited for, pinged, and started again with back-off.
 */
#ifndef AGENTD_PROC_H
#define AGENTD_PROC_H

#include <stdbool.h>
#include <stdint.h>

#include "agentd/worker_log.h"
#include "common/imsg.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/proc.h"

struct agent;
struct event;

enum worker_state {
	WORKER_OFF,      /* not wanted (no Vault with a pinned key) */
	WORKER_WAITING,  /* back-off runs */
	WORKER_STARTING, /* asked for, configured, not READY yet */
	WORKER_READY,
};

struct worker_proc {
	struct agent *agent;
	enum proc_role role;
	enum worker_state state;
	struct imsg_channel *channel; /* NULL: none */
	int32_t pid;                  /* 0: not known to run */
	uint32_t restarts;
	bool spawned;            /* asked for, and not known to have ended */
	bool ending;             /* WAITING for the old process to end */
	unsigned int failures;   /* in succession, for the back-off */
	int64_t since_boot_ns;   /* of the state */
	uint64_t ping;           /* the last nonce sent */
	unsigned int unanswered; /* pings since it last answered */
	struct event *timer;     /* back-off, start-up limit or next ping */
	char last_exit[AEGIS_TEXT_SIZE];
	char fault[AEGIS_TEXT_SIZE]; /* why we ended it ourselves */
	int32_t landlock_abi;
	struct worker_log log;
};

/* A role's part of agentd: what it is told at start, what it may say. */
struct peer {
	/* MSG_TYPE_MAX handlers, ctx is the struct agent. */
	const imsg_handler *handlers;
	/* Send its configuration (without CONFIG_END).  0 or -errno. */
	int (*configure)(struct agent *agent, struct imsg_channel *ch);
	/* It is READY.  May be NULL. */
	void (*ready)(struct agent *agent);
	/* It died; HOW for people.  May be NULL. */
	void (*died)(struct agent *agent, const char *how);
};

extern const struct peer peer_registry;
extern const struct peer peer_vault;
extern const struct peer peer_verify;
extern const struct peer peer_bpf;
extern const struct peer peer_api;
extern const struct peer peer_telem;

/* Prepare the rows; starts nothing. */
void proc_init(struct agent *agent);

/* Start every wanted worker. */
void proc_start_all(struct agent *agent);

/* Start ROLE now if it is off or waiting. */
void proc_start(struct agent *agent, enum proc_role role);

/* End ROLE for a FAULT of its own; it starts again with back-off. */
void proc_kill(struct agent *agent, enum proc_role role, const char *fault);

/* End ROLE and start it anew, with a new configuration: no fault of its. */
void proc_restart(struct agent *agent, enum proc_role role);

/* This process and every worker log at LEVEL from now on. */
void proc_set_log_level(struct agent *agent, enum log_level level);

/* Close every channel: workers end by themselves; none starts again. */
void proc_stop_all(struct agent *agent);

/* The channel of a READY worker, or NULL. */
struct imsg_channel *proc_channel(struct agent *agent, enum proc_role role);

/* Release the rows' timers. */
void proc_free(struct agent *agent);

uint32_t proc_restarts(const struct agent *agent);

/* What the spawner said: the roles in it are checked by spawn.c. */
struct msg_spawn_started;
struct msg_spawn_exited;
void proc_handle_started(
    struct agent *agent, const struct msg_spawn_started *started);
void proc_handle_exited(
    struct agent *agent, const struct msg_spawn_exited *exited);

#endif
