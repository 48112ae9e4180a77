/* SPDX-License-Identifier: ISC */
/*
 * The spawner's loop.  It is single-threaded and reads nothing but two
 * message types of fixed size, from agentd.
 */
#include "agentd/spawner.h"

#include <event2/event.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/msg.h"
#include "common/sandbox.h"

#define TERM_LIMIT_MS 500

struct spawner {
	struct event_base *base;
	struct imsg_channel *agentd;
	const char *libexecdir;
	bool keep_stderr;
	pid_t pids[PROC_MAX]; /* 0: none */
};

static bool
is_worker(uint32_t role)
{
	return role >= PROC_FIRST_WORKER && role <= PROC_LAST_WORKER;
}

/* Collect every child that ended, and tell agentd while it listens. */
static void
reap_workers(struct spawner *s)
{
	struct msg_spawn_exited m = { 0 };
	int status, r;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (m.role = 0; m.role < PROC_MAX; m.role++)
			if (s->pids[m.role] == pid)
				break;
		if (m.role == PROC_MAX)
			continue;
		s->pids[m.role] = 0;
		m.pid = pid;
		m.wait_status = status;
		r = msg_send_SPAWN_EXITED(s->agentd, 0, &m);
		if (r < 0) /* agentd is gone: the reading side ends us */
			return;
	}
}

static int
handle_start(struct imsg *m, void *ctx)
{
	const struct msg_spawn_start *start = msg_get_SPAWN_START(m);
	struct msg_spawn_started started = { .role = start->role };
	struct launch_report report = { 0 };
	struct spawner *s = ctx;
	const struct launch launch = {
		.role = (enum proc_role)start->role,
		.socket = m->fd,
		.libexecdir = s->libexecdir,
		.keep_stderr = s->keep_stderr,
	};
	pid_t pid;

	if (!is_worker(start->role))
		return -EINVAL;
	reap_workers(s);
	if (s->pids[start->role] != 0) {
		started.result = -EBUSY;
		(void)snprintf(started.text, sizeof(started.text),
		    "the one before still runs as pid %d",
		    (int)s->pids[start->role]);
	} else {
		pid = launch_worker(&launch, &report);
		started.result = pid < 0 ? pid : 0;
		started.pid = s->pids[start->role] = pid < 0 ? 0 : pid;
		str_copy_cut(started.text, sizeof(started.text), report.what);
	}
	return msg_send_SPAWN_STARTED(s->agentd, 0, &started);
}

static int
handle_kill(struct imsg *m, void *ctx)
{
	const struct msg_spawn_kill *k = msg_get_SPAWN_KILL(m);
	struct spawner *s = ctx;

	if (!is_worker(k->role) ||
	    (k->signal != SIGTERM && k->signal != SIGKILL &&
		k->signal != SIGABRT))
		return -EINVAL;
	/* Not reaped yet, so the pid is still that worker's. */
	if (s->pids[k->role] != 0)
		(void)kill(s->pids[k->role], k->signal);
	return 0;
}

static void
handle_closed(int reason, const char *text, void *ctx)
{
	struct spawner *s = ctx;

	(void)event_base_loopbreak(s->base);
}

static void
handle_sigchld(evutil_socket_t fd, short what, void *arg)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		continue;
	reap_workers(arg);
}

static bool
any_alive(const struct spawner *s)
{
	int role;

	for (role = 0; role < PROC_MAX; role++)
		if (s->pids[role] != 0)
			return true;
	return false;
}

static void
signal_all(const struct spawner *s, int sig)
{
	int role;

	for (role = 0; role < PROC_MAX; role++)
		if (s->pids[role] != 0)
			(void)kill(s->pids[role], sig);
}

/* agentd is gone: nobody may run on without it. */
static void
end_workers(struct spawner *s)
{
	int64_t until = clock_boot_ns() + TERM_LIMIT_MS * NSEC_PER_MSEC;

	signal_all(s, SIGTERM);
	reap_workers(s);
	while (any_alive(s) && clock_boot_ns() < until) {
		(void)poll(NULL, 0, 5);
		reap_workers(s);
	}
	signal_all(s, SIGKILL);
	while (wait(NULL) > 0)
		continue;
}

/*
 * Of agentd's descriptors keep the channel, the report's pipe and, for the
 * workers' sake, standard error.  agentd's event base is left alone: its
 * epoll instance is shared with agentd.
 */
static int
keep_fds(int *channel, int *ready, bool keep_stderr)
{
	_cleanup_fd_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int low_channel, low_ready;

	if (null == -1)
		return -errno;
	low_channel = fcntl(*channel, F_DUPFD_CLOEXEC, 10);
	low_ready = fcntl(*ready, F_DUPFD_CLOEXEC, 10);
	if (low_channel == -1 || low_ready == -1 ||
	    dup2(null, STDIN_FILENO) == -1 || dup2(null, STDOUT_FILENO) == -1 ||
	    (!keep_stderr && dup2(null, STDERR_FILENO) == -1))
		return -errno;
	if (dup3(low_channel, 3, O_CLOEXEC) == -1 ||
	    dup3(low_ready, 4, O_CLOEXEC) == -1)
		return -errno;
	*channel = 3;
	*ready = 4;
	(void)fd_steal(&null);
	return close_range(5, ~0U, 0) == -1 ? -errno : 0;
}

static int
watch_children(struct spawner *s)
{
	struct event *ev;
	sigset_t set;
	int fd, sig;

	/* Whoever stops the agent stops agentd, which then stops us: a
	 * terminal's or a service manager's signals to the whole group must
	 * not take the workers away under it. */
	for (sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_SETMASK, &set, NULL) == -1)
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd == -1)
		return -errno;
	ev = event_new(s->base, fd, EV_READ | EV_PERSIST, handle_sigchld, s);
	if (ev == NULL || event_add(ev, NULL) == -1)
		return -ENOMEM;
	return 0;
}

static int
prepare(struct spawner *s, int *channel, int *ready, const char **what)
{
	static imsg_handler handlers[MSG_TYPE_MAX];
	int r;

	handlers[MSG_SPAWN_START] = handle_start;
	handlers[MSG_SPAWN_KILL] = handle_kill;
	*what = "descriptors";
	r = keep_fds(channel, ready, s->keep_stderr);
	if (r < 0)
		return r;
	(void)setsid();
	(void)prctl(PR_SET_NAME, "agentd: spawn", 0, 0, 0);
	*what = "event loop";
	s->base = event_base_new();
	if (s->base == NULL)
		return -ENOMEM;
	r = watch_children(s);
	if (r < 0)
		return r;
	r = imsg_open(&s->agentd, s->base, *channel, PROC_SPAWN, PROC_AGENTD,
	    handlers, handle_closed, s);
	if (r < 0)
		return r;
	*what = "sandbox (capabilities SETUID SETGID SETPCAP KILL BPF PERFMON "
		"NET_ADMIN are needed)";
	return sandbox_enter(PROC_SPAWN, NULL);
}

void
spawner_main(int channel, int ready, const char *libexecdir, bool keep_stderr)
{
	struct spawner s = {
		.libexecdir = libexecdir,
		.keep_stderr = keep_stderr,
	};
	struct launch_report report = { 0 };
	const char *what = "";

	report.result = prepare(&s, &channel, &ready, &what);
	if (report.result < 0)
		(void)snprintf(report.what, sizeof(report.what), "%s: %s", what,
		    strerror(-report.result));
	if (write(ready, &report, sizeof(report)) != (ssize_t)sizeof(report) ||
	    report.result < 0)
		_exit(1);
	fd_close(&ready);
	(void)event_base_dispatch(s.base);
	end_workers(&s);
	_exit(0);
}
