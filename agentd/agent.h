/* SPDX-License-Identifier: ISC */
/*
 * The supervisor's state, passed down to everything that acts.  agentd owns
 * all decisions (fleet.h) and all descriptors (custody.h); it reads fixed
 * records from its workers and never what came from outside.
 */
#ifndef AGENTD_AGENT_H
#define AGENTD_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "agentd/config.h"
#include "agentd/config_files.h"
#include "agentd/custody.h"
#include "agentd/filters.h"
#include "agentd/fleet.h"
#include "agentd/follow.h"
#include "agentd/proc.h"
#include "agentd/secrets.h"
#include "agentd/state.h"
#include "agentd/telem_totals.h"
#include "common/msg.h"

struct event;
struct event_base;
struct event_queue;
struct notify;
struct spawn;
struct control;
struct listenfd;
struct feed;
struct logsink;

/* What the workers last said of themselves, for health and metrics. */
struct observed {
	struct msg_fetch_polled poll;
	bool polled;
	int64_t last_good_poll_wall_ns;
	uint64_t polls[POLL_RESULT_MAX];
	bool from_cache;
	struct msg_vault_state vault;
	bool vault_known;
	bool keys_known;
	struct telem_totals telem;
	struct msg_api_state api;
	bool api_known;
	uint64_t protocol_violations;
	uint64_t drift_found;
	uint64_t drift_repaired;
	uint64_t load_buckets[12];
	uint64_t load_sum_us;
};

struct agent {
	struct config config;
	const char *config_file; /* of -f, or NULL */
	bool people;             /* -d: a log for people, on standard error */
	bool verbose;            /* -v */
	struct event_base *base;
	struct logsink *logsink;
	struct fleet fleet;
	struct state state;
	struct worker_proc workers[PROC_MAX];
	struct spawn *spawn;
	struct closer *closer;
	struct event_queue *events;
	struct feed *feed; /* the same, for operators */
	struct control *control;
	struct notify *notify;
	struct observed observed;
	struct follow interfaces;
	uint32_t links_asked;   /* of this bpfd, and not answered yet */
	struct filters filters; /* being detached */
	struct moment started;
	/* From the service manager's store, until they are taken up. */
	struct listenfd *stored;
	size_t stored_count;
	/* Directories that live as long as agentd. */
	int state_dir;
	int cache_dir;
	int spool_dir;
	int registry_dir;  /* of a file:// registry; else -1 */
	int keys;          /* trust anchors for verifyd: sealed memfd, or -1 */
	bool keys_are_set; /* keyset.h records from Vault, not text */
	int64_t keys_confirmed_boot_ns; /* when Vault last gave them */
	struct config_files files;      /* those that variables name */
	struct secret_mark vault_token_mark;
	struct secret_mark registry_token_mark;
	bool keys_expired; /* ... which is too long ago: not used */
	int stats;         /* holds BPF_ENABLE_STATS open, or -1 */
	char cgroup_root[AEGIS_PATH_SIZE];
	char kernel_release[65];
	char architecture[32];
	/* Timers and signals. */
	int deadline_timer;    /* timerfd on CLOCK_BOOTTIME, */
	int64_t armed_boot_ns; /* set to this; 0: to nothing yet */
	struct event *deadline_event;
	struct event *sample_event;
	struct event *heartbeat_event;
	struct event *watchdog_event;
	struct event *publish_event;
	struct event *stop_event; /* the last moment of a shutdown */
	struct event *signals[4];
	uint64_t sample_round;
	uint32_t probe_round; /* peer_probe.c */
	uint64_t snapshot_generation;
	uint64_t saved_event_seq; /* state.next_event_seq as last written, */
	int64_t saved_boot_ns;    /* which was then */
	bool state_dirty;
	bool state_failing; /* the last write failed */
	bool acting;        /* agent_act() is at work */
	bool snapshot_dirty;
	bool told_ready;   /* the service manager knows that we can work */
	bool handing_over; /* to the agentd after this one: handover.h */
	bool stopping;
	bool stopped;
	int exit_status;
};

/* act.c: carry out what the fleet has decided; after every event. */
void agent_act(struct agent *agent);

/* agentd.c: begin to stop; the loop ends when all is out. */
void agent_stop(struct agent *agent);

/* agentd.c: HANDLE's program is out of the kernel. */
void agent_unloaded(struct agent *agent, uint64_t handle);

/* agentd.c: all is out and told: end the loop. */
void agent_stopped(struct agent *agent);

/* agentd.c: (re-)arm what has a configured period. */
void agent_arm_timers(struct agent *agent);

/* reload.c: re-read the configuration.  TEXT (1024): what happened. */
int agent_reload(struct agent *agent, char *text, size_t size) _must_check_;

/* publish.c: build the snapshot and hand it to apid; and to aegisctl as an
 * owned descriptor. */
void agent_publish(struct agent *agent);
int agent_make_snapshot(struct agent *agent) _must_check_;

#endif
