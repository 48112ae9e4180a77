/* SPDX-License-Identifier: ISC */
/*
 * From a fork of the spawner to a worker: one socket, no other descriptor,
 * nothing in the environment, another user.
 */
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aegis_config.h"
#include "agentd/spawner.h"
#include "common/proc.h"
#include "common/sandbox.h"

/* The pipe's place for the time until the exec, just above the channel. */
#define ERROR_FD (PROC_CHANNEL_FD + 1)

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
	struct spawner_report report = { .result = error };
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

void
spawner_exec(uint32_t role, int socket, int error_fd, const char *libexecdir,
    bool keep_stderr)
{
	const struct program *program = &programs[role];
	char file[32], arg[32] = "", *argv[] = { file, NULL, NULL }, path[4096];
	const char *what = NULL, *user;
	pid_t parent = getppid();
	int r;

	(void)snprintf(file, sizeof(file), "%s", program->file);
	if (program->arg != NULL) {
		(void)snprintf(arg, sizeof(arg), "%s", program->arg);
		argv[1] = arg;
	}
	r = snprintf(path, sizeof(path), "%s/%s", libexecdir, program->file);
	if (r < 0 || (size_t)r >= sizeof(path))
		fail(error_fd, -ENAMETOOLONG, "libexec directory: too long");
	r = arrange_fds(socket, &error_fd, keep_stderr);
	if (r < 0)
		fail(error_fd, r, "descriptors: %s", strerror(-r));
	(void)umask(077);
	if (chdir("/") == -1)
		fail(error_fd, -errno, "chdir /: %s", strerror(errno));
	r = sandbox_become((enum proc_role)role, &what);
	user = sandbox_user((enum proc_role)role);
	if (r == -ENOENT)
		fail(error_fd, r,
		    "account %s does not exist: run scripts/setup or "
		    "systemd-sysusers",
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
