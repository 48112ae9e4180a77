/* SPDX-License-Identifier: ISC */
/*
 * Who may do what: one row a process (sandbox_rows.c), applied here and
 * nowhere else.
 *
 * A worker passes two gates.  sandbox_become() runs between fork and exec in
 * the spawner's child: uid, groups, capabilities, bounding set,
 * no_new_privs, rlimits.  sandbox_enter() runs in the worker once it is
 * configured: not dumpable, Landlock, a seccomp filter that kills.  agentd
 * and its spawner pass sandbox_enter() alone; they stay root with a cut
 * capability set.
 */
#ifndef COMMON_SANDBOX_H
#define COMMON_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/proc.h"

#define SANDBOX_MAX_DIRS  24
#define SANDBOX_MAX_PORTS 8

/* What only the running configuration knows; the row says what kind. */
struct sandbox_grants {
	struct {
		int fd; /* borrowed: a directory (or file) that agentd
			 * opened and passed; or opened by start() itself */
		bool writable;
	} dirs[SANDBOX_MAX_DIRS];
	unsigned int dir_count;
	/* Landlock ABI 4: TCP ports, where the row allows TCP at all; none:
	 * any.  Port 53 comes with the first connect port (resolver). */
	uint16_t connect_ports[SANDBOX_MAX_PORTS];
	unsigned int connect_count;
	uint16_t bind_ports[SANDBOX_MAX_PORTS];
	unsigned int bind_count;
};

/*
 * Lower RLIMIT_DATA of this process to BYTES, where what it needs depends on
 * the configuration: beside the row's limits.
 */
int sandbox_limit_data(uint64_t bytes) _must_check_;

/* 0, or -ENOSPC when the table is full (a bug of the caller). */
int sandbox_grant_dir(
    struct sandbox_grants *g, int fd, bool writable) _must_check_;
int sandbox_grant_connect(struct sandbox_grants *g, uint16_t port) _must_check_;
int sandbox_grant_bind(struct sandbox_grants *g, uint16_t port) _must_check_;

/*
 * The account of a role: its name, and its ids when the account exists.
 * -ENOENT: no such account (scripts/setup or sysusers.d make it).
 */
const char *sandbox_user(enum proc_role role);
int sandbox_lookup_user(
    enum proc_role role, uid_t *uid, gid_t *gid) _must_check_;

/*
 * First gate, in the child before exec.  On failure -errno and *WHAT says
 * which step; the child must then exit.
 */
int sandbox_become(enum proc_role role, const char **what) _must_check_;

/*
 * The first gate for a worker that a caller without privileges starts: what
 * does not take root.  It stays the caller's, without capabilities.
 */
int sandbox_stay(enum proc_role role, const char **what) _must_check_;

/* Second gate.  GRANTS may be NULL.  -errno: do not go on. */
int sandbox_enter(
    enum proc_role role, const struct sandbox_grants *grants) _must_check_;

/* The kernel's Landlock ABI as found by sandbox_enter(); 0 if none. */
int sandbox_landlock_abi(void);

#endif
