/* SPDX-License-Identifier: ISC */
/*
 * agentd's side of the spawner; what the spawner does is in spawner.c.
 */
#include "agentd/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "aegis_config.h"
#include "agentd/spawner.h"
#include "common/clock.h"
#include "common/strnum.h"

#define CLOSE_LIMIT_MS  2000
#define STATUS_LIMIT_MS 200

struct spawn {
	pid_t pid;
	struct imsg_channel *channel;
	const struct spawn_handlers *handlers;
	void *ctx;
};

static bool
is_worker(uint32_t role)
{
	return role >= PROC_FIRST_WORKER && role <= PROC_LAST_WORKER;
}

static int
handle_started(struct imsg *m, void *ctx)
{
	const struct msg_spawn_started *started = msg_get_SPAWN_STARTED(m);
	struct spawn *s = ctx;

	if (!is_worker(started->role) || !MSG_TEXT_OK(started->text) ||
	    started->pid < 0 || started->result > 0 ||
	    (started->pid == 0) == (started->result == 0))
		return -EINVAL;
	s->handlers->started(started, s->ctx);
	return 0;
}

static int
handle_exited(struct imsg *m, void *ctx)
{
	const struct msg_spawn_exited *exited = msg_get_SPAWN_EXITED(m);
	struct spawn *s = ctx;

	if (!is_worker(exited->role) || exited->pid <= 0)
		return -EINVAL;
	s->handlers->exited(exited, s->ctx);
	return 0;
}

/* Wait for the spawner until UNTIL; true once it has ended, with *STATUS. */
static bool
reap(struct spawn *s, int64_t until_boot_ns, int *status)
{
	static const struct timespec pause = { .tv_nsec = 5000000 };
	pid_t pid;

	for (;;) {
		pid = waitpid(s->pid, status, WNOHANG);
		if (pid == s->pid || (pid == -1 && errno != EINTR))
			return true;
		if (clock_boot_ns() >= until_boot_ns)
			return false;
		(void)nanosleep(&pause, NULL);
	}
}

static void
handle_closed(int reason, const char *text, void *ctx)
{
	struct spawn *s = ctx;
	char how[AEGIS_TEXT_SIZE];
	int status = 0;

	(void)snprintf(how, sizeof(how), "the spawner: %.200s", text);
	/* Its sockets close a moment before its status is to be had. */
	if (reap(s, clock_boot_ns() + STATUS_LIMIT_MS * NSEC_PER_MSEC,
		&status)) {
		s->pid = 0;
		if (WIFSIGNALED(status))
			(void)snprintf(how, sizeof(how),
			    "the spawner was killed by signal %d (%s)",
			    WTERMSIG(status), strsignal(WTERMSIG(status)));
		else
			(void)snprintf(how, sizeof(how),
			    "the spawner exited with status %d",
			    WEXITSTATUS(status));
	}
	s->handlers->lost(how, s->ctx);
}

static const imsg_handler handlers[MSG_TYPE_MAX] = {
	[MSG_SPAWN_STARTED] = handle_started,
	[MSG_SPAWN_EXITED] = handle_exited,
};

/* The spawner says once that its sandbox is closed, or what failed. */
static int
await_spawner(int fd, char *text, size_t size)
{
	struct launch_report report;
	ssize_t n;

	do {
		n = read(fd, &report, sizeof(report));
	} while (n == -1 && errno == EINTR);
	if (n != (ssize_t)sizeof(report)) {
		str_copy_cut(text, size, "it ended before it was ready");
		return -ECHILD;
	}
	str_copy_cut(text, size, report.what);
	return report.result;
}

int
spawn_fork(struct spawn **out, struct event_base *base,
    const struct spawn_options *options, const struct spawn_handlers *h,
    void *ctx, char *text, size_t size)
{
	int sv[2] = { -1, -1 }, ready[2] = { -1, -1 }, r;
	const char *dir = options->libexecdir;
	struct spawn *s;

	*out = NULL;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	s->handlers = h;
	s->ctx = ctx;
	str_copy_cut(text, size, "descriptors");
	r = imsg_socketpair(sv);
	if (r == 0 && pipe2(ready, O_CLOEXEC) == -1)
		r = -errno;
	if (r < 0)
		goto fail;
	str_copy_cut(text, size, "fork");
	s->pid = fork();
	if (s->pid == -1) {
		r = -errno;
		goto fail;
	}
	if (s->pid == 0)
		spawner_main(sv[1], ready[1],
		    dir != NULL ? dir : AEGIS_LIBEXECDIR, options->keep_stderr);
	fd_close(&sv[1]);
	fd_close(&ready[1]);
	r = await_spawner(ready[0], text, size);
	if (r == 0)
		r = imsg_open(&s->channel, base, fd_steal(&sv[0]), PROC_AGENTD,
		    PROC_SPAWN, handlers, handle_closed, s);
	if (r < 0)
		goto fail;
	fd_close(&ready[0]);
	*out = s;
	return 0;
fail:
	fd_close(&sv[0]);
	fd_close(&sv[1]);
	fd_close(&ready[0]);
	fd_close(&ready[1]);
	spawn_close(s);
	return r;
}

int
spawn_start(struct spawn *s, enum proc_role role, int fd)
{
	struct msg_spawn_start m = { .role = (uint32_t)role };

	return msg_send_SPAWN_START(s->channel, 0, &m, fd);
}

void
spawn_kill(struct spawn *s, enum proc_role role, int signal)
{
	struct msg_spawn_kill m = {
		.role = (uint32_t)role,
		.signal = signal,
	};
	int r = msg_send_SPAWN_KILL(s->channel, 0, &m);

	/* Only a spawner that is gone or stuck; the reading side tells. */
	(void)r;
}

void
spawn_close(struct spawn *s)
{
	int status = 0;

	if (s == NULL)
		return;
	imsg_free(s->channel);
	if (s->pid > 0 &&
	    !reap(
		s, clock_boot_ns() + CLOSE_LIMIT_MS * NSEC_PER_MSEC, &status)) {
		/* Its workers die with it: PR_SET_PDEATHSIG. */
		(void)kill(s->pid, SIGKILL);
		(void)waitpid(s->pid, NULL, 0);
	}
	free(s);
}

pid_t
spawn_pid(const struct spawn *s)
{
	return s->pid;
}
