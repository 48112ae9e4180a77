/* SPDX-License-Identifier: ISC */
/*
 * bpfd's state, and what it does with each message of agentd: the files of
 * this daemon that act.  The rest knows neither messages nor this.
 */
#ifndef BPFD_BPFD_H
#define BPFD_BPFD_H

#include <event2/util.h>

#include "bpfd/artifact.h"
#include "bpfd/kernel.h"
#include "bpfd/load.h"
#include "bpfd/netdev.h"
#include "common/worker.h"

struct event;
struct queue;

struct bpfd {
	struct worker worker;
	struct kernel kernel;
	struct queue *queue;
	struct netdev netdev; /* which interfaces there are */
	struct event *netdev_event;
	struct artifact_list artifacts; /* loaded or adopted */
	struct load_list loads;         /* on their way */
	char cgroup_root[AEGIS_PATH_SIZE];
	uint32_t filter_owner;
};

/* loading.c: what a load is made of, piece by piece, and its start. */
int handle_load_object(struct imsg *m, void *ctx);
int handle_load_plan(struct imsg *m, void *ctx);
int handle_load_old_link(struct imsg *m, void *ctx);
int handle_load_old_filter(struct imsg *m, void *ctx);
int handle_load_old_map(struct imsg *m, void *ctx);
int handle_load_kept_prog(struct imsg *m, void *ctx);
int handle_load_kept_map(struct imsg *m, void *ctx);
int handle_load_perf(struct imsg *m, void *ctx);
int handle_load_start(struct imsg *m, void *ctx);

/* placing.c: one more place for a program that is loaded; interfaces. */
int handle_link_attach(struct imsg *m, void *ctx);
void handle_netdev(evutil_socket_t fd, short what, void *arg);

/* restoring.c: the program that a link should run. */
int handle_link_restore(struct imsg *m, void *ctx);

/* filters.c: tc filters that agentd holds, or that were left behind. */
int handle_filter_detach(struct imsg *m, void *ctx);
int handle_filter_check(struct imsg *m, void *ctx);
int handle_filters_keep(struct imsg *m, void *ctx);
/* Of a load that agentd does not want any more. */
void filters_detach_forgotten(struct bpfd *b, struct load *l);

/* updating.c: other parameters for what runs. */
int handle_update_plan(struct imsg *m, void *ctx);

/* adopt.c: taking over from a bpfd that died. */
int handle_adopt_plan(struct imsg *m, void *ctx);
int handle_adopt_prog(struct imsg *m, void *ctx);
int handle_adopt_map(struct imsg *m, void *ctx);

#endif
