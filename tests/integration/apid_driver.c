/* SPDX-License-Identifier: ISC */
/*
 * Plays agentd for apid: spawns it with its channel, configures it, and
 * publishes made-up snapshots as told on standard input.  What apid says
 * comes out on standard output, a line each.
 *
 *	apid_driver [-a address] [-t tokenfile] [-c cert] [-k key] -p port apid
 *
 * Commands: "publish KEY=NUMBER ..." (generation content health programs
 * mixed rollbacks ttl uptime beat), "garbage", "quit" or the end of input.
 */
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memfd.h"
#include "common/msg.h"
#include "common/sandbox.h"
#include "synthetic.h"

struct driver {
	struct event_base *base;
	struct imsg_channel *apid;
	struct synthetic spec;
	pid_t pid;
};

static void __attribute__((noreturn)) die(const char *what)
{
	(void)fprintf(stderr, "apid_driver: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
say(const char *word, const char *text)
{
	(void)printf("%s %s\n", word, text);
	(void)fflush(stdout);
}

static int
handle_ready(struct imsg *m, void *ctx)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "landlock=%d",
	    msg_get_WORKER_READY(m)->landlock_abi);
	say("ready", text);
	return 0;
}

static int
handle_log(struct imsg *m, void *ctx)
{
	say("log", msg_get_WORKER_LOG(m)->text);
	return 0;
}

static int
handle_state(struct imsg *m, void *ctx)
{
	const struct msg_api_state *state = msg_get_API_STATE(m);

	if (state->listening)
		say("listening", "");
	else
		say("deaf", state->error);
	return 0;
}

static void
handle_closed(int reason, const char *text, void *ctx)
{
	struct driver *d = ctx;

	say("closed", text);
	(void)event_base_loopbreak(d->base);
}

static pid_t
spawn(const char *path, int fd)
{
	pid_t pid = fork();
	const char *what;
	int r;

	if (pid != 0)
		return pid;
	r = sandbox_become(PROC_API, &what);
	if (r < 0) {
		(void)printf("become %s: %s\n", what, strerror(-r));
		(void)fflush(stdout);
		_exit(125);
	}
	/* A clean CLOEXEC flag on 3 and nothing else open. */
	if (dup2(fd, 10) == -1 || dup2(10, PROC_CHANNEL_FD) == -1)
		_exit(126);
	(void)close_range(PROC_CHANNEL_FD + 1, ~0U, 0);
	(void)execl(path, path, (char *)NULL);
	_exit(127);
}

static void
send_secret(struct driver *d, uint32_t kind, const char *path)
{
	struct msg_secret secret = { .kind = kind };
	char text[64 * 1024];
	_cleanup_file_ FILE *f = fopen(path, "re");
	size_t n;
	int fd;

	if (f == NULL)
		die(path);
	n = fread(text, 1, sizeof(text), f);
	if (kind == SECRET_TOKEN && n > 0 && text[n - 1] == '\n')
		n--;
	fd = memfd_from_bytes("secret", text, n);
	if (fd < 0 || msg_send_SECRET(d->apid, 0, &secret, fd) < 0)
		die("SECRET");
}

static void
publish(struct driver *d)
{
	struct msg_api_snapshot m = { .generation = d->spec.generation };
	struct msg_worker_ping ping = { .nonce = d->spec.generation };
	void *bytes;
	size_t len;
	int fd;

	d->spec.boot_ns = clock_boot_ns();
	d->spec.wall_ns = clock_wall_ns();
	synthetic_snapshot(&d->spec, &bytes, &len);
	fd = memfd_from_bytes("snapshot", bytes, len);
	free(bytes);
	if (fd < 0 || msg_send_API_SNAPSHOT(d->apid, 0, &m, fd) < 0)
		die("API_SNAPSHOT");
	/* Messages are handled in order: the answer means that it is there. */
	if (msg_send_WORKER_PING(d->apid, 0, &ping) < 0)
		die("WORKER_PING");
}

static int
handle_pong(struct imsg *m, void *ctx)
{
	say("published", "");
	return 0;
}

static void
publish_garbage(struct driver *d)
{
	struct msg_api_snapshot m = { 0 };
	int fd = memfd_from_bytes("snapshot", "garbage", 7);

	if (fd < 0 || msg_send_API_SNAPSHOT(d->apid, 0, &m, fd) < 0)
		die("API_SNAPSHOT");
}

static void
set_number(struct driver *d, const char *key, double value)
{
	struct synthetic *s = &d->spec;

	if (strcmp(key, "content") == 0)
		s->content = (uint64_t)value;
	else if (strcmp(key, "health") == 0)
		s->health = (uint32_t)value;
	else if (strcmp(key, "programs") == 0)
		s->programs = (uint32_t)value;
	else if (strcmp(key, "mixed") == 0)
		s->mixed = (uint32_t)value;
	else if (strcmp(key, "rollbacks") == 0)
		s->rollbacks = (uint32_t)value;
	else if (strcmp(key, "ttl") == 0)
		s->ttl_sec = (int64_t)value;
	else if (strcmp(key, "uptime") == 0)
		s->uptime_sec = (int64_t)value;
	else if (strcmp(key, "beat") == 0)
		s->beat = value;
	else
		say("unknown", key);
}

static void
handle_command(struct driver *d, char *line)
{
	char *word = strtok(line, " \n"), *value;

	if (word == NULL || strcmp(word, "quit") == 0) {
		(void)event_base_loopbreak(d->base);
	} else if (strcmp(word, "garbage") == 0) {
		publish_garbage(d);
	} else if (strcmp(word, "publish") == 0) {
		while ((word = strtok(NULL, " \n")) != NULL) {
			value = strchr(word, '=');
			if (value == NULL)
				continue;
			*value++ = '\0';
			set_number(d, word, strtod(value, NULL));
		}
		d->spec.generation++;
		publish(d);
	}
}

static void
handle_stdin(evutil_socket_t fd, short what, void *arg)
{
	char buf[4096];
	char *line = buf, *end;
	ssize_t n = read(fd, buf, sizeof(buf) - 1);
	struct driver *d = arg;

	if (n <= 0) {
		(void)event_base_loopbreak(d->base);
		return;
	}
	buf[n] = '\0';
	while ((end = strchr(line, '\n')) != NULL) {
		*end = '\0';
		handle_command(d, line);
		line = end + 1;
	}
}

static int
finish(struct driver *d)
{
	int status = 0;

	imsg_free(d->apid);
	if (waitpid(d->pid, &status, 0) == -1)
		die("waitpid");
	if (WIFSIGNALED(status)) {
		(void)printf("killed %d\n", WTERMSIG(status));
		return 1;
	}
	(void)printf("exited %d\n", WEXITSTATUS(status));
	return 0;
}

static void
configure(struct driver *d, const char *address, const char *port)
{
	struct msg_api_config config = { .port = (uint32_t)atoi(port) };
	struct msg_config_end end = { .log_level = LOG_LEVEL_INFO };

	str_copy_cut(config.address, sizeof(config.address), address);
	str_copy_cut(end.host_id, sizeof(end.host_id), d->spec.host_id);
	if (msg_send_API_CONFIG(d->apid, 0, &config) < 0 ||
	    msg_send_CONFIG_END(d->apid, 0, &end) < 0)
		die("configuration");
}

int
main(int argc, char **argv)
{
	static const imsg_handler handlers[MSG_TYPE_MAX] = {
		[MSG_WORKER_READY] = handle_ready,
		[MSG_WORKER_LOG] = handle_log,
		[MSG_WORKER_PONG] = handle_pong,
		[MSG_API_STATE] = handle_state,
	};
	const char *address = "", *port = NULL, *token = NULL, *cert = NULL,
		   *key = NULL;
	struct driver d = { .spec = { .host_id = "host-001",
				.programs = 3,
				.rollbacks = 2,
				.ttl_sec = 3600,
				.uptime_sec = 8130,
				.content = 1 } };
	struct event *input;
	int sv[2], c;

	while ((c = getopt(argc, argv, "a:p:t:c:k:")) != -1) {
		switch (c) {
		case 'a':
			address = optarg;
			break;
		case 'p':
			port = optarg;
			break;
		case 't':
			token = optarg;
			break;
		case 'c':
			cert = optarg;
			break;
		case 'k':
			key = optarg;
			break;
		default:
			return 64;
		}
	}
	if (port == NULL || optind != argc - 1)
		return 64;
	d.base = event_base_new();
	if (d.base == NULL || imsg_socketpair(sv) < 0)
		die("socketpair");
	d.pid = spawn(argv[optind], sv[1]);
	(void)close(sv[1]);
	if (d.pid == -1 ||
	    imsg_open(&d.apid, d.base, sv[0], PROC_AGENTD, PROC_API, handlers,
		handle_closed, &d) < 0)
		die("spawn");
	if (token != NULL)
		send_secret(&d, SECRET_TOKEN, token);
	if (cert != NULL)
		send_secret(&d, SECRET_CERT, cert);
	if (key != NULL)
		send_secret(&d, SECRET_KEY, key);
	configure(&d, address, port);
	input = event_new(
	    d.base, STDIN_FILENO, EV_READ | EV_PERSIST, handle_stdin, &d);
	if (input == NULL || event_add(input, NULL) == -1)
		die("event");
	(void)event_base_dispatch(d.base);
	event_free(input);
	c = finish(&d);
	event_base_free(d.base);
	return c;
}
