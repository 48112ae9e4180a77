/* SPDX-License-Identifier: ISC */
/*
 * The control socket: aegisctl(8) speaks here.  Who may do what is decided
 * by the peer's credentials: root everything, group aegisflux may look.
 */
#ifndef AGENTD_CONTROL_H
#define AGENTD_CONTROL_H

#include "common/cleanup.h"

struct agent;
struct control;

/*
 * Listen on PATH: before agentd's sandbox closes.  A socket that a dead
 * agentd left there is removed; one that answers is an error (-EADDRINUSE:
 * another agentd runs).
 */
int control_open(
    struct control **out, struct agent *agent, const char *path) _must_check_;

/* Close all connections and remove the socket. */
void control_close(struct control *c);

#endif
