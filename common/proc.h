/* SPDX-License-Identifier: ISC */
/*
 * The processes of the agent.  A role is what a process is for, not which
 * executable it runs: fetchd runs twice, once for each server it may know.
 */
#ifndef COMMON_PROC_H
#define COMMON_PROC_H

#include <stdint.h>

enum proc_role {
	PROC_AGENTD = 0, /* the supervisor */
	PROC_SPAWN,      /* agentd's forked half: starts and ends workers */
	PROC_REGISTRY,   /* fetchd, for the registry */
	PROC_VAULT,      /* fetchd, for Vault */
	PROC_VERIFY,
	PROC_BPF,
	PROC_API,
	PROC_TELEM,
	PROC_CTL, /* aegisctl; an operator, not one of ours */
	PROC_MAX
};

/* The roles that are workers: spawned, sandboxed, supervised. */
#define PROC_FIRST_WORKER PROC_REGISTRY
#define PROC_LAST_WORKER  PROC_TELEM

#define PROC_BIT(role) (1u << (role))

/* The descriptor on which every worker finds its channel to agentd. */
#define PROC_CHANNEL_FD 3

/*
 * The name used in logs, in /status and on the command line of a worker:
 * "agentd", "spawn", "registry", "vault", "verifyd", "bpfd", "apid",
 * "telemd", "aegisctl".  Static; "unknown" for a number that is no role.
 */
const char *proc_name(enum proc_role role);

#endif
