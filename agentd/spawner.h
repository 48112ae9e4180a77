/* SPDX-License-Identifier: ISC */
/*
 * The body of "agentd: spawn": see spawn.h.
 */
#ifndef AGENTD_SPAWNER_H
#define AGENTD_SPAWNER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/limits.h"

/* What a forked child says once over a pipe about how it began. */
struct spawner_report {
	int32_t result; /* 0 or a negative errno */
	char what[AEGIS_TEXT_SIZE];
};

/*
 * Run in the forked child: keep nothing of agentd's but CHANNEL (takes it),
 * close the sandbox, report on READY (takes it), serve, and exit.
 */
void spawner_main(int channel, int ready, const char *libexecdir,
    bool keep_stderr) __attribute__((noreturn));

/*
 * Run in the child of the spawner: become ROLE and execute its program.  On
 * failure reports on ERROR_FD, which the exec closes, and exits.
 */
void spawner_exec(uint32_t role, int socket, int error_fd,
    const char *libexecdir, bool keep_stderr) __attribute__((noreturn));

#endif
