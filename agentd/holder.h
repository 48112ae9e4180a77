/* SPDX-License-Identifier: ISC */
/*
 * Naming the program that has a hook which takes only one.
 */
#ifndef AGENTD_HOLDER_H
#define AGENTD_HOLDER_H

#include <stddef.h>
#include <stdint.h>

struct agent;

/*
 * Add to TEXT (SIZE bytes) who PROG_ID is: one of our artifacts, or somebody
 * else's program, by its name where it has one.  0: nothing is known of it.
 */
void holder_add(struct agent *agent, uint32_t prog_id, char *text, size_t size);

#endif
