/* SPDX-License-Identifier: ISC */
/*
 * From a fork to a worker: one socket on descriptor 3, no other descriptor,
 * nothing in the environment, the first gate of the sandbox, then the exec.
 * agentd's spawner starts workers so, and aegisctl those of its offline
 * commands.
 */
#ifndef COMMON_LAUNCH_H
#define COMMON_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/limits.h"
#include "common/proc.h"

/* What a forked child says once over a pipe about how it began. */
struct launch_report {
	int32_t result; /* 0 or a negative errno */
	char what[AEGIS_TEXT_SIZE];
};

struct launch {
	enum proc_role role;
	int socket; /* the worker's end of its channel, borrowed */
	const char *libexecdir;
	bool keep_stderr; /* the worker shares the caller's standard error */
	/*
	 * The caller is no root and cannot become the role's account: the
	 * worker runs as the caller, behind all the rest of its sandbox.
	 */
	bool as_caller;
};

/*
 * Fork, execute the program of the role, and wait until that is done.  The
 * worker dies with the calling thread.  Its pid, which the caller reaps, or
 * -errno with REPORT->what saying what failed.
 */
pid_t launch_worker(
    const struct launch *l, struct launch_report *report) _must_check_;

#endif
