/* SPDX-License-Identifier: ISC */
/*
 * Plays agentd to a real bpfd, which it starts under its own account and
 * capabilities, and verifyd's part of the plan: for bpfd_driver (obeys
 * test_bpfd.py) and loader_table (one row an attach type).
 *
 * Functions return NULL, or what went wrong (static text).
 */
#ifndef TESTS_INTEGRATION_FAKE_AGENTD_H
#define TESTS_INTEGRATION_FAKE_AGENTD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/loadplan.h"
#include "common/msg.h"

#define FAKE_MAX_LOADS 1024
#define FAKE_MAX_FDS   64

/* One artifact as agentd would keep it. */
struct fake_held {
	bool used;
	bool done;       /* LOAD_DONE came: result */
	int64_t sent_ns; /* when the object was sent */
	int plan;
	int progs[FAKE_MAX_FDS], maps[FAKE_MAX_FDS], links[FAKE_MAX_FDS];
	struct tc_filter filters[FAKE_MAX_FDS]; /* handle 0: none */
	uint32_t link_ids[FAKE_MAX_FDS];
	uint32_t ifindexes[FAKE_MAX_FDS]; /* of links; 0: none */
	char map_names[FAKE_MAX_FDS][AEGIS_BPF_NAME_SIZE];
	struct msg_load_prog prog_info[FAKE_MAX_FDS];
	struct msg_load_map map_info[FAKE_MAX_FDS];
	struct msg_load_done result;
	struct msg_bpf_sampled sampled; /* the last one */
};

struct fake {
	struct event_base *base;
	struct imsg_channel *bpfd; /* NULL: not running */
	pid_t pid;
	bool quiet; /* do not print what bpfd says */
	bool ready, sampled, ponged;
	bool updated;  /* the answer to fake_update() came */
	bool detached; /* the filter that fake_clear() asked for last */
	int landlock;
	struct fake_held held[FAKE_MAX_LOADS];
};

/* The one there is; made on first use. */
struct fake *fake(void);

/* Of artifact ID; exits on a wrong one. */
struct fake_held *fake_get(uint64_t id);
/* Close all that is held of it, have its filters detached. */
void fake_clear(struct fake_held *h);

/* Start bpfd and wait until it is ready. */
const char *fake_spawn(const char *path, const char *cgroup_root);

/* Run the loop until *FLAG, or until bpfd is gone. */
const char *fake_await(const bool *flag);

/*
 * Send a load of the object at PATH, with a plan made from ARGS: words
 * key=a,b,c as bpfd_driver.c lists them.
 */
const char *fake_start(uint64_t id, const char *path, const char *args);

/*
 * Send such a plan for RUNNING, as new parameters: change ID.  Its answer is
 * printed: in_place, mixed, error.
 */
const char *fake_update(
    uint64_t id, uint64_t running, const char *path, const char *args);

const char *fake_forget(uint64_t id);
const char *fake_sample(void);
const char *fake_ping(void);
const char *fake_adopt(uint64_t id);

#endif
