/* SPDX-License-Identifier: ISC */
/*
 * The body of "agentd: spawn": see spawn.h.
 */
#ifndef AGENTD_SPAWNER_H
#define AGENTD_SPAWNER_H

#include <stdbool.h>

#include "common/launch.h"

/*
 * Run in the forked child: keep nothing of agentd's but CHANNEL (takes it),
 * close the sandbox, report on READY (takes it), serve, and exit.
 */
void spawner_main(int channel, int ready, const char *libexecdir,
    bool keep_stderr) __attribute__((noreturn));

#endif
