/* SPDX-License-Identifier: ISC */
/*
 * What agentd does once, before its sandbox closes: the configuration, the
 * directories, the keys, the sockets.  Here, and only here, an error ends
 * the process.
 */
#ifndef AGENTD_STARTUP_H
#define AGENTD_STARTUP_H

struct agent;

/* -n: check FILE and the environment, print every problem; exit status. */
int startup_check(const char *file);

/* Read the configuration or exit with every problem told; open the log. */
void startup_configure(struct agent *agent);

/* Directories, state, keys, notify and control sockets, BPF statistics. */
void startup_open(struct agent *agent);

/* Drop what only start-up needed; close the sandbox. */
void startup_close_sandbox(struct agent *agent);

void startup_close(struct agent *agent);

/* (Re-)read AGENT_PUBLIC_KEY into agent->keys.  0 or -errno, logged. */
int startup_read_keys(struct agent *agent);

/* The fleet's rules out of the configuration. */
struct fleet_rules;
void startup_rules(const struct agent *agent, struct fleet_rules *rules);

#endif
