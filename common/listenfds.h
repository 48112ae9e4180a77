/* SPDX-License-Identifier: ISC */
/*
 * Descriptors that the service manager hands to a starting service, by
 * sd_listen_fds(3)'s rules and without libsystemd: for the agent, what an
 * earlier agentd gave it to keep (notify.h, notify_store_fd()).
 */
#ifndef COMMON_LISTENFDS_H
#define COMMON_LISTENFDS_H

#include <stddef.h>

#include "common/cleanup.h"

#define LISTENFDS_NAME_SIZE 64

struct listenfd {
	int fd;
	char name[LISTENFDS_NAME_SIZE]; /* cut; "" where none is said */
};

/*
 * Take them: owned descriptors in an owned array of *COUNT, CLOEXEC from now
 * on.  Takes LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES out of the
 * environment.  None, or meant for another process: 0 with *COUNT 0.
 * -EINVAL: the variables make no sense, or name what is not open; nothing is
 * taken then.
 */
int listenfds_take(struct listenfd **out, size_t *count) _must_check_;

#endif
