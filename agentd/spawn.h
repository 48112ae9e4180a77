/* SPDX-License-Identifier: ISC */
/*
 * agentd's other half: a small process, "agentd: spawn", that starts workers
 * and ends them, and does nothing else.
 *
 * Filters and no_new_privs are inherited, so agentd, whose own filter denies
 * loading and attaching, could not start the process that loads.  And what
 * it takes to become another user and to hand on capabilities need not lie
 * in the process that owns all state.  So agentd forks this half first, and
 * then drops for good what only starting workers needs.
 *
 * The spawner takes SPAWN_START and SPAWN_KILL for worker roles, nothing
 * else, one process a role.  When agentd's end of the channel closes, for
 * whatever reason, it ends its workers (SIGTERM, SIGKILL after half a second)
 * and itself; when the spawner dies, the kernel kills the workers.
 */
#ifndef AGENTD_SPAWN_H
#define AGENTD_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/msg.h"

struct event_base;
struct spawn;

struct spawn_options {
	const char *libexecdir; /* NULL: AEGIS_LIBEXECDIR; tests have others */
	bool keep_stderr;       /* workers share agentd's standard error (-d) */
};

struct spawn_handlers {
	/* The answer to spawn_start(): pid > 0, or result and text say why
	 * not.  The role is a worker's, the text is printable. */
	void (*started)(const struct msg_spawn_started *m, void *ctx);
	/* A worker that was started ended; always after its started(). */
	void (*exited)(const struct msg_spawn_exited *m, void *ctx);
	/* The spawner is gone and cannot be had again, because agentd has
	 * dropped what it takes: fatal for agentd.  TEXT says how it ended. */
	void (*lost)(const char *text, void *ctx);
};

/*
 * Fork the spawner and wait until its sandbox is closed.  Call it first of
 * all: with no threads yet, before secrets are in memory (they would be
 * copied) and before agentd's own sandbox_enter().  0, or -errno with what
 * failed in TEXT (SIZE bytes).  HANDLERS is borrowed for the life of *OUT.
 */
int spawn_fork(struct spawn **out, struct event_base *base,
    const struct spawn_options *options, const struct spawn_handlers *handlers,
    void *ctx, char *text, size_t size) _must_check_;

/*
 * Ask for a worker of ROLE on the socket FD (takes it).  The outcome comes as
 * started(); -EBUSY in it means that the one before has not ended yet.
 * Returns imsg_send()'s errors.
 */
int spawn_start(struct spawn *s, enum proc_role role, int fd) _must_check_;

/* Ask for a signal (SIGTERM, SIGKILL, SIGABRT) to the worker of ROLE, if one
 * runs.  A failure means that the spawner is gone: lost() tells. */
void spawn_kill(struct spawn *s, enum proc_role role, int signal);

/*
 * Close the channel, which ends all workers, and wait for the spawner to end
 * (up to two seconds, then it is killed).  No handler runs any more.  NULL is
 * ignored.
 */
void spawn_close(struct spawn *s);

/* The spawner's process, for tests and for /status. */
pid_t spawn_pid(const struct spawn *s);

#endif
