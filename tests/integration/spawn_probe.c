/* SPDX-License-Identifier: ISC */
/*
 * agentd's use of the spawner, without agentd.  Forks a spawner for the
 * programs in DIRECTORY and obeys standard input, a command a line:
 *
 *	start ROLE	and print what the worker says on its socket
 *	kill ROLE SIGNAL
 *	close		the channel in order; then prints "closed"
 *
 * Prints "spawner PID", "started ROLE PID RESULT TEXT", "exited ROLE PID
 * STATUS", "said ROLE TEXT", "lost TEXT".  Under any other name than its own
 * it is a worker: it says what it sees of itself, and stays until its socket
 * closes; as "apid" it stays for ever.
 */
#include <dirent.h>
#include <err.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "agentd/spawn.h"
#include "common/strnum.h"

extern char **environ;

struct driver {
	struct event_base *base;
	struct spawn *spawn;
	int sockets[PROC_MAX];
	struct event *readers[PROC_MAX];
};

static struct driver driver;

/* ---- the worker ---- */

_printf_(1, 2) static void say(const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n > 0 && send(3, text, (size_t)n, MSG_NOSIGNAL) == -1)
		_exit(3);
}

static void
say_fds(void)
{
	char target[256], path[64];
	struct dirent *entry;
	DIR *dir = opendir("/proc/self/fd");
	ssize_t n;

	if (dir == NULL)
		err(1, "/proc/self/fd");
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.' ||
		    atoi(entry->d_name) == dirfd(dir))
			continue;
		(void)snprintf(
		    path, sizeof(path), "/proc/self/fd/%.20s", entry->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		say("fd %s %s", entry->d_name, target);
	}
	(void)closedir(dir);
}

static void
say_status(void)
{
	static const char *const wanted[] = { "Uid:", "Gid:", "Groups:",
		"CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:",
		"NoNewPrivs:", "SigBlk:", "SigIgn:", "Seccomp:" };
	char line[256];
	FILE *f = fopen("/proc/self/status", "r");
	size_t i;

	if (f == NULL)
		err(1, "/proc/self/status");
	while (fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		for (i = 0; i < nitems(wanted); i++)
			if (strncmp(line, wanted[i], strlen(wanted[i])) == 0)
				say("%s", line);
	}
	(void)fclose(f);
}

static int
worker(int argc, char **argv)
{
	struct pollfd pfd = { .fd = 3, .events = POLLIN };
	char c, **e;
	int sig = 0;

	/* More lines than the queue of a socket holds. */
	(void)fcntl(3, F_SETFL, 0);
	say("argv %s %s", argv[0], argc > 1 ? argv[1] : "-");
	for (e = environ; *e != NULL; e++)
		say("env %s", *e);
	say_fds();
	say_status();
	(void)prctl(PR_GET_PDEATHSIG, &sig);
	say("pdeathsig %d", sig);
	/* apid plays the one that does not listen to SIGTERM or its end. */
	if (strcmp(argv[0], "apid") == 0)
		(void)signal(SIGTERM, SIG_IGN);
	say("end");
	if (strcmp(argv[0], "apid") == 0)
		for (;;)
			(void)pause();
	return poll(&pfd, 1, -1) == 1 && recv(3, &c, 1, 0) == 0 ? 0 : 2;
}

/* ---- the driver ---- */

static void
handle_said(evutil_socket_t fd, short what, void *arg)
{
	int role = *(int *)arg;
	char text[512];
	ssize_t n;

	while ((n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT)) > 0) {
		text[n] = '\0';
		printf("said %s %s\n", proc_name((enum proc_role)role), text);
	}
	if (n == 0)
		(void)event_del(driver.readers[role]);
}

static void
handle_started(const struct msg_spawn_started *m, void *ctx)
{
	printf("started %s %d %d %s\n", proc_name((enum proc_role)m->role),
	    m->pid, m->result, m->text);
}

static void
handle_exited(const struct msg_spawn_exited *m, void *ctx)
{
	printf("exited %s %d %d\n", proc_name((enum proc_role)m->role), m->pid,
	    m->wait_status);
}

static void
handle_lost(const char *text, void *ctx)
{
	printf("lost %s\n", text);
	(void)event_base_loopbreak(driver.base);
}

static int
find_role(const char *name)
{
	int role;

	for (role = 0; role < PROC_MAX; role++)
		if (strcmp(proc_name((enum proc_role)role), name) == 0)
			return role;
	errx(64, "no such role: %s", name);
}

static void
start(int role)
{
	static int roles[PROC_MAX];
	int sv[2];

	if (imsg_socketpair(sv) < 0)
		err(1, "socketpair");
	if (driver.readers[role] != NULL) {
		event_free(driver.readers[role]);
		(void)close(driver.sockets[role]);
	}
	roles[role] = role;
	driver.sockets[role] = sv[0];
	driver.readers[role] = event_new(driver.base, sv[0],
	    EV_READ | EV_PERSIST, handle_said, &roles[role]);
	if (event_add(driver.readers[role], NULL) == -1 ||
	    spawn_start(driver.spawn, (enum proc_role)role, sv[1]) < 0)
		errx(1, "start");
}

static void
handle_command(evutil_socket_t fd, short what, void *arg)
{
	static char line[256];
	char word[32], name[32];
	int sig = 0, n;

	if (fgets(line, sizeof(line), stdin) == NULL)
		_exit(0); /* as a crash would: without closing anything */
	n = sscanf(line, "%31s %31s %d", word, name, &sig);
	if (n >= 2 && strcmp(word, "start") == 0) {
		start(find_role(name));
	} else if (n == 3 && strcmp(word, "kill") == 0) {
		spawn_kill(driver.spawn, (enum proc_role)find_role(name), sig);
	} else if (n >= 1 && strcmp(word, "close") == 0) {
		spawn_close(driver.spawn);
		printf("closed\n");
		_exit(0);
	} else {
		errx(64, "what is '%s'?", line);
	}
}

int
main(int argc, char **argv)
{
	static const struct spawn_handlers handlers = {
		.started = handle_started,
		.exited = handle_exited,
		.lost = handle_lost,
	};
	struct spawn_options options = { 0 };
	struct event *commands;
	char text[AEGIS_TEXT_SIZE];
	int r;

	if (strstr(argv[0], "spawn_probe") == NULL)
		return worker(argc, argv);
	if (argc != 2)
		errx(64, "usage: spawn_probe DIRECTORY");
	options.libexecdir = argv[1];
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	(void)setvbuf(stdin, NULL, _IONBF, 0);
	driver.base = event_base_new();
	r = spawn_fork(&driver.spawn, driver.base, &options, &handlers, NULL,
	    text, sizeof(text));
	if (r < 0)
		errx(1, "spawn_fork: %s (%s)", text, strerror(-r));
	printf("spawner %d\n", (int)spawn_pid(driver.spawn));
	commands = event_new(
	    driver.base, 0, EV_READ | EV_PERSIST, handle_command, NULL);
	if (commands == NULL || event_add(commands, NULL) == -1)
		errx(1, "event_add");
	(void)event_base_dispatch(driver.base);
	return 0;
}
