/* SPDX-License-Identifier: ISC */
/*
 * The event rings of programs skip agentd: it hands them to telemd, and takes
 * them back when their program is out of the kernel.
 */
#ifndef AGENTD_RINGS_H
#define AGENTD_RINGS_H

#include <stdint.h>

struct agent;
struct artifact;

/* The program was loaded: its ring goes to telemd. */
void rings_hand_over(struct agent *agent, const struct artifact *a);

/* A new telemd is ready: the rings of all that runs go to it. */
void rings_hand_over_all(struct agent *agent);

/* HANDLE's program is detached, and writes no more: telemd drains its ring. */
void rings_let_go(struct agent *agent, uint64_t handle);

#endif
