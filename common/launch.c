/* SPDX-License-Identifier: ISC */
#include "common/launch.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aegis_config.h"
#include "common/clock.h"
#include "common/sandbox.h"
#include "common/strnum.h"

/* The pipe's place for the time until the exec, just above the channel. */
#define ERROR_FD (PROC_CHANNEL_FD + 1)

/* An exec takes milliseconds; the look-up of an account may ask a network. */
#define EXEC_LIMIT_MS 5000

struct program {
	const char *file; /* in the libexec directory */
	const char *arg;  /* NULL: none */
};

static const struct program programs[PROC_MAX] = {
	[PROC_REGISTRY] = { "fetchd", "registry" },
	[PROC_VAULT] = { "fetchd", "vault" },
	[PROC_VERIFY] = { "verifyd", NULL },
	[PROC_BPF] = { "bpfd", NULL },
	[PROC_API] = { "apid", NULL },
	[PROC_TELEM] = { "telemd", NULL },
};

static char lang[] = "LANG=C";
static char path_variable[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
#if AEGIS_SANITIZED
/* The leak checker ptraces, which no worker may. */
static char asan[] = "ASAN_OPTIONS=detect_leaks=0:abort_on_error=1";
static char ubsan[] = "UBSAN_OPTIONS=print_stacktrace=1";
#endif
static char *const environment[] = {
	lang,
	path_variable,
#if AEGIS_SANITIZED
	asan,
	ubsan,
#endif
	NULL,
};

_printf_(3, 4) __attribute__((noreturn)) static void fail(
    int fd, int error, const char *fmt, ...)
{
	struct launch_report report = { .result = error };
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(report.what, sizeof(report.what), fmt, ap);
	va_end(ap);
	if (write(fd, &report, sizeof(report)) != (ssize_t)sizeof(report))
		_exit(126);
	_exit(127);
}

static int
move_fd(int *fd, int to, int flags)
{
	if (*fd == to)
		return fcntl(to, F_SETFD, flags ? FD_CLOEXEC : 0);
	if (dup3(*fd, to, flags) == -1)
		return -1;
	*fd = to;
	return 0;
}

/* 0 1 2: nothing; 3: the channel; 4: ERROR_FD until the exec. */
static int
arrange_fds(int socket, int *error_fd, bool keep_stderr)
{
	_cleanup_fd_ int high_socket = -1, high_error = -1, null = -1;

	/* Out of the way first: either may lie where the other must go. */
	high_socket = fcntl(socket, F_DUPFD_CLOEXEC, 10);
	high_error = fcntl(*error_fd, F_DUPFD_CLOEXEC, 10);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (high_socket == -1 || high_error == -1 || null == -1)
		return -errno;
	if (move_fd(&high_error, ERROR_FD, O_CLOEXEC) == -1)
		return -errno;
	*error_fd = fd_steal(&high_error);
	if (move_fd(&high_socket, PROC_CHANNEL_FD, 0) == -1 ||
	    dup2(null, STDIN_FILENO) == -1 || dup2(null, STDOUT_FILENO) == -1)
		return -errno;
	(void)fd_steal(&high_socket);
	if (!keep_stderr && dup2(null, STDERR_FILENO) == -1)
		return -errno;
	(void)fd_steal(&null); /* goes with the rest: */
	if (close_range(ERROR_FD + 1, ~0U, 0) == -1)
		return -errno;
	return 0;
}

/* As a process that nobody prepared: handlers do not outlive an exec, but
 * ignored signals and the mask do. */
static void
reset_signals(void)
{
	sigset_t none;
	int sig;

	for (sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int
become(const struct launch *l, const char **what)
{
	return l->as_caller ? sandbox_stay(l->role, what)
			    : sandbox_become(l->role, what);
}

/* Run in the child: on failure reports on ERROR_FD, which the exec closes. */
__attribute__((noreturn)) static void
exec_worker(const struct launch *l, int error_fd)
{
	const struct program *program = &programs[l->role];
	char file[32], arg[32] = "", *argv[] = { file, NULL, NULL }, path[4096];
	const char *what = NULL, *user = sandbox_user(l->role);
	pid_t parent = getppid();
	int r;

	(void)snprintf(file, sizeof(file), "%s", program->file);
	if (program->arg != NULL) {
		(void)snprintf(arg, sizeof(arg), "%s", program->arg);
		argv[1] = arg;
	}
	r = snprintf(path, sizeof(path), "%s/%s", l->libexecdir, program->file);
	if (r < 0 || (size_t)r >= sizeof(path))
		fail(error_fd, -ENAMETOOLONG, "libexec directory: too long");
	r = arrange_fds(l->socket, &error_fd, l->keep_stderr);
	if (r < 0)
		fail(error_fd, r, "descriptors: %s", strerror(-r));
	(void)umask(077);
	if (chdir("/") == -1)
		fail(error_fd, -errno, "chdir /: %s", strerror(errno));
	r = become(l, &what);
	if (r == -ENOENT)
		fail(error_fd, r,
		    "account %s does not exist: scripts/setup or "
		    "systemd-sysusers makes it",
		    user);
	if (r < 0)
		fail(error_fd, r, "%s of account %s: %s", what, user,
		    strerror(-r));
	/* The death signal was armed after the fork: too late by now? */
	if (getppid() != parent)
		_exit(0);
	reset_signals();
	(void)execve(path, argv, environment);
	fail(error_fd, -errno, "execve %.180s: %s", path, strerror(errno));
}

/*
 * Read how the child began: the pipe closes with its exec.  0, or what it
 * reported; a child that is stuck before its exec is killed.
 */
static int
await_exec(int fd, pid_t pid, struct launch_report *report)
{
	int64_t until = clock_boot_ns() + EXEC_LIMIT_MS * NSEC_PER_MSEC;
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	int64_t left;
	ssize_t n;
	int r = 0;

	while (r <= 0) {
		left = (until - clock_boot_ns()) / NSEC_PER_MSEC;
		if (left <= 0 || (r == -1 && errno != EINTR)) {
			(void)kill(pid, SIGKILL);
			(void)snprintf(report->what, sizeof(report->what),
			    "no exec within %d ms (is the look-up of accounts "
			    "stuck?)",
			    EXEC_LIMIT_MS);
			return -ETIMEDOUT;
		}
		r = poll(&pfd, 1, (int)left);
	}
	n = read(fd, report, sizeof(*report));
	if (n == 0)
		return 0;
	if (n != (ssize_t)sizeof(*report) || report->result >= 0) {
		str_copy_cut(report->what, sizeof(report->what), "fork");
		return -EIO;
	}
	str_scrub(report->what, sizeof(report->what));
	return report->result;
}

pid_t
launch_worker(const struct launch *l, struct launch_report *report)
{
	_cleanup_fd_ int reading = -1, writing = -1;
	int ends[2], r;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) == -1) {
		r = -errno;
		str_copy_cut(report->what, sizeof(report->what), "pipe");
		return r;
	}
	reading = ends[0];
	writing = ends[1];
	pid = fork();
	if (pid == -1) {
		r = -errno;
		(void)snprintf(report->what, sizeof(report->what), "fork: %s",
		    strerror(-r));
		return r;
	}
	if (pid == 0)
		exec_worker(l, writing);
	fd_close(&writing);
	r = await_exec(reading, pid, report);
	if (r < 0) {
		(void)waitpid(pid, NULL, 0);
		return r;
	}
	return pid;
}
