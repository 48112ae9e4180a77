/* SPDX-License-Identifier: ISC */
/*
 * Plays agentd for test_telemd.py: starts telemd, gives it a configuration,
 * and then does what lines on standard input say.  What telemd says comes
 * out as one JSON object a line.
 *
 *	telemd_driver TELEMD KEY=VALUE...
 *		subject host version stream url next_seq spool_max rate
 *		spool (a directory), secret.ca secret.cert ... (file names)
 *
 *	event ID TYPE ARTIFACT [KEY=VALUE...]
 *	events FIRST COUNT TYPE ARTIFACT	(as fast as telemd takes them)
 *	ring_add ID ARTIFACT BYTES	a real BPF ring buffer with a writer
 *	ring_write ID COUNT [RATE]	run the writer
 *	ring_state ID			its positions
 *	ring_remove ID
 *	ring_forget ID			and not announce it again
 *	kill SIGNAL, restart, stop, quit
 */
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memfd.h"
#include "common/msg.h"
#include "common/sandbox.h"
#include "common/jsonbuf.h"
#include "tests/integration/ring_writer.h"

#define RINGS_MAX 8

struct driver {
	struct event_base *base;
	struct imsg_channel *ch;
	struct event *input;
	char **argv;
	int argc;
	pid_t pid;
	uint64_t next_seq;
	struct ring_writer rings[RINGS_MAX];
	char line[8192];
	size_t line_len;
	imsg_handler handlers[MSG_TYPE_MAX];
};

/* ---- what telemd says ---- */

static void
print_json(struct jsonbuf *j)
{
	jsonbuf_lit(j, "}\n");
	(void)fwrite(j->data, 1, j->len, stdout);
	(void)fflush(stdout);
	jsonbuf_free(j);
}

static void
put(struct jsonbuf *j, const char *key, const char *value)
{
	jsonbuf_text(j, j->len == 0 ? "{\"" : ",\"");
	jsonbuf_text(j, key);
	jsonbuf_lit(j, "\":");
	jsonbuf_string(j, value, strlen(value));
}

static void
put_number(struct jsonbuf *j, const char *key, uint64_t value)
{
	jsonbuf_text(j, j->len == 0 ? "{\"" : ",\"");
	jsonbuf_text(j, key);
	jsonbuf_lit(j, "\":");
	jsonbuf_u64(j, value);
}

static int
handle_ready(struct imsg *m, void *ctx)
{
	struct driver *d = ctx;
	struct jsonbuf j = { 0 };

	put(&j, "msg", "ready");
	put_number(&j, "pid", (uint64_t)d->pid);
	put_number(
	    &j, "landlock", (uint64_t)msg_get_WORKER_READY(m)->landlock_abi);
	print_json(&j);
	return 0;
}

static int
handle_log(struct imsg *m, void *ctx)
{
	const struct msg_worker_log *l = msg_get_WORKER_LOG(m);
	struct jsonbuf j = { 0 };

	put(&j, "msg", "log");
	put(&j, "level", log_level_name((enum log_level)l->level));
	put(&j, "text", l->text);
	put(&j, "error", l->error);
	put(&j, "artifact_id", l->artifact_id);
	print_json(&j);
	return 0;
}

static int
handle_accepted(struct imsg *m, void *ctx)
{
	struct driver *d = ctx;
	struct jsonbuf j = { 0 };

	d->next_seq = msg_get_EVENT_ACCEPTED(m)->next_seq;
	put(&j, "msg", "accepted");
	put_number(&j, "id", m->id);
	put_number(&j, "next_seq", d->next_seq);
	print_json(&j);
	return 0;
}

static int
handle_signal(struct imsg *m, void *ctx)
{
	struct driver *d = ctx;
	const struct msg_signal_rollback *s = msg_get_SIGNAL_ROLLBACK(m);
	struct msg_signal_reply reply = { .accepted = 1 };
	struct jsonbuf j = { 0 };

	put(&j, "msg", "signal");
	put_number(&j, "id", m->id);
	put(&j, "artifact_id", s->artifact_id);
	put(&j, "reason", s->reason);
	put(&j, "request_id", s->request_id);
	print_json(&j);
	if (strncmp(s->artifact_id, "unknown", 7) == 0) {
		reply.accepted = 0;
		str_copy_cut(reply.error, sizeof(reply.error),
		    "no such artifact is running");
	}
	return msg_send_SIGNAL_REPLY(d->ch, m->id, &reply);
}

static void
put_counts(struct jsonbuf *j, const char *key, const uint64_t *counts)
{
	int i;

	jsonbuf_lit(j, ",\"");
	jsonbuf_text(j, key);
	jsonbuf_lit(j, "\":{");
	for (i = 0; i < EVENT_TYPE_MAX; i++) {
		jsonbuf_text(j, i == 0 ? "\"" : ",\"");
		jsonbuf_text(j, event_type_name((enum event_type)i));
		jsonbuf_lit(j, "\":");
		jsonbuf_u64(j, counts[i]);
	}
	jsonbuf_lit(j, "}");
}

static int
handle_state(struct imsg *m, void *ctx)
{
	const struct msg_telem_state *s = msg_get_TELEM_STATE(m);
	struct jsonbuf j = { 0 };

	put(&j, "msg", "state");
	put_number(&j, "connected", s->connected);
	put_number(&j, "spool_full", s->spool_full);
	put_number(&j, "spooled_bytes", s->spooled_bytes);
	put_number(&j, "spooled_events", s->spooled_events);
	put_number(&j, "reconnects", s->reconnects);
	put_number(&j, "bad_signals", s->bad_signals);
	put_number(&j, "suppressed", s->violations_suppressed);
	put(&j, "error", s->error);
	put_counts(&j, "sent", s->sent);
	put_counts(&j, "dropped", s->dropped);
	print_json(&j);
	return 0;
}

static int
handle_pong(struct imsg *m, void *ctx)
{
	struct jsonbuf j = { 0 };

	put(&j, "msg", "pong");
	put_number(&j, "nonce", msg_get_WORKER_PONG(m)->nonce);
	print_json(&j);
	return 0;
}

static void
reap(struct driver *d)
{
	struct jsonbuf j = { 0 };
	int status = 0;

	while (d->pid > 0 && waitpid(d->pid, &status, 0) == -1)
		if (errno != EINTR)
			break;
	put(&j, "msg", "exit");
	put_number(
	    &j, "signal", WIFSIGNALED(status) ? (uint64_t)WTERMSIG(status) : 0);
	put_number(&j, "status",
	    WIFEXITED(status) ? (uint64_t)WEXITSTATUS(status) : 0);
	print_json(&j);
	d->pid = 0;
}

static void
handle_closed(int reason, const char *text, void *ctx)
{
	struct driver *d = ctx;
	struct jsonbuf j = { 0 };

	put(&j, "msg", "closed");
	put_number(&j, "reason", (uint64_t)-reason);
	put(&j, "text", text);
	print_json(&j);
	imsg_free(d->ch);
	d->ch = NULL;
	reap(d);
}

/* ---- starting it ---- */

static const char *
option(const struct driver *d, const char *key, const char *otherwise)
{
	size_t len = strlen(key);
	int i;

	for (i = 0; i < d->argc; i++)
		if (strncmp(d->argv[i], key, len) == 0 &&
		    d->argv[i][len] == '=')
			return d->argv[i] + len + 1;
	return otherwise;
}

static uint64_t
number(const char *s)
{
	return strtoull(s, NULL, 0);
}

static int
send_secret(struct driver *d, enum secret_kind kind, const char *path)
{
	struct msg_secret m = { .kind = kind };
	static char text[AEGIS_SECRET_MAX];
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	n = fd != -1 ? read(fd, text, sizeof(text)) : -1;
	if (n < 0)
		fatal("%s: %s", path, strerror(errno));
	return msg_send_SECRET(
	    d->ch, 0, &m, memfd_from_bytes("secret", text, (size_t)n));
}

static int
send_config(struct driver *d)
{
	static const struct {
		const char *key;
		enum secret_kind kind;
	} secrets[] = {
		{ "secret.ca", SECRET_CA },
		{ "secret.cert", SECRET_CERT },
		{ "secret.key", SECRET_KEY },
		{ "secret.creds", SECRET_NATS_CREDS },
		{ "secret.url", SECRET_URL },
		{ "secret.signal_key", SECRET_SIGNAL_KEY },
	};
	struct msg_telem_config c = { 0 };
	struct msg_telem_spool spool = { 0 };
	struct msg_config_end end = { .log_level = LOG_LEVEL_DEBUG };
	const char *path;
	size_t i;
	int r;

	str_copy_cut(c.subject, sizeof(c.subject),
	    option(d, "subject", "agent.telemetry"));
	str_copy_cut(
	    c.host_id, sizeof(c.host_id), option(d, "host", "host-001"));
	str_copy_cut(c.agent_version, sizeof(c.agent_version),
	    option(d, "version", "1.0.0"));
	str_copy_cut(c.stream, sizeof(c.stream), option(d, "stream", ""));
	str_copy_cut(c.url, sizeof(c.url), option(d, "url", ""));
	c.next_seq = d->next_seq;
	c.spool_max_bytes = number(option(d, "spool_max", "67108864"));
	c.violation_rate = (uint32_t)number(option(d, "rate", "1000"));
	r = msg_send_TELEM_CONFIG(d->ch, 0, &c);
	for (i = 0; r == 0 && i < nitems(secrets); i++) {
		path = option(d, secrets[i].key, NULL);
		if (path != NULL)
			r = send_secret(d, secrets[i].kind, path);
	}
	path = option(d, "spool", NULL);
	if (r == 0 && path != NULL)
		r = msg_send_TELEM_SPOOL(d->ch, 0, &spool,
		    open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	str_copy_cut(end.host_id, sizeof(end.host_id), c.host_id);
	return r < 0 ? r : msg_send_CONFIG_END(d->ch, 0, &end);
}

static void
run_child(struct driver *d, int fd)
{
	const char *what = "exec";
	int r;

	if (dup2(fd, PROC_CHANNEL_FD) == -1)
		_exit(126);
	if (fd != PROC_CHANNEL_FD)
		(void)close(fd);
	(void)fcntl(PROC_CHANNEL_FD, F_SETFD, 0);
	r = sandbox_become(PROC_TELEM, &what);
	if (r == 0) {
		(void)execl(d->argv[0], d->argv[0], (char *)NULL);
		r = -errno;
	}
	(void)fprintf(stderr, "%s: %s\n", what, strerror(-r));
	_exit(127);
}

static void
start(struct driver *d)
{
	int sv[2], i;

	if (imsg_socketpair(sv) < 0)
		fatal("socketpair: %s", strerror(errno));
	d->pid = fork();
	if (d->pid == -1)
		fatal("fork: %s", strerror(errno));
	if (d->pid == 0)
		run_child(d, sv[1]);
	(void)close(sv[1]);
	if (imsg_open(&d->ch, d->base, sv[0], PROC_AGENTD, PROC_TELEM,
		d->handlers, handle_closed, d) < 0 ||
	    send_config(d) < 0)
		fatal("cannot configure telemd");
	for (i = 0; i < RINGS_MAX; i++)
		if (d->rings[i].ring_fd > 0 &&
		    ring_writer_announce(&d->rings[i], d->ch, (uint64_t)i) < 0)
			fatal("cannot announce ring %d again", i);
}

/* ---- what to do ---- */

static enum event_type
event_type(const char *name)
{
	int i;

	for (i = 0; i < EVENT_TYPE_MAX; i++)
		if (strcmp(event_type_name((enum event_type)i), name) == 0)
			return (enum event_type)i;
	fatal("no event type %s", name);
}

static void
set_field(struct msg_event *e, const char *key, const char *value, int *fd)
{
	static char log[AEGIS_VERIFIER_LOG];

	if (strcmp(key, "name") == 0)
		str_copy_cut(e->name, sizeof(e->name), value);
	else if (strcmp(key, "version") == 0)
		str_copy_cut(e->version, sizeof(e->version), value);
	else if (strcmp(key, "error") == 0)
		str_copy_cut(e->error, sizeof(e->error), value);
	else if (strcmp(key, "reason") == 0)
		str_copy_cut(e->reason, sizeof(e->reason), value);
	else if (strcmp(key, "status") == 0)
		e->status = (uint32_t)number(value);
	else if (strcmp(key, "unload_reason") == 0)
		e->unload_reason = (uint32_t)number(value);
	else if (strcmp(key, "rollback_reason") == 0)
		e->rollback_reason = (uint32_t)number(value);
	else if (strcmp(key, "threshold") == 0)
		e->threshold = (uint32_t)number(value);
	else if (strcmp(key, "rollback_status") == 0)
		e->rollback_status = (uint32_t)number(value);
	else if (strcmp(key, "value") == 0)
		e->value = strtod(value, NULL);
	else if (strcmp(key, "limit") == 0)
		e->limit = strtod(value, NULL);
	else if (strcmp(key, "loaded") == 0)
		e->loaded_programs = (uint32_t)number(value);
	else if (strcmp(key, "violations") == 0)
		e->telemetry.violations = number(value);
	else if (strcmp(key, "log") == 0)
		*fd = memfd_from_bytes("log", value, strlen(value));
	else if (strcmp(key, "biglog") == 0) {
		memset(log, '"', sizeof(log));
		*fd = memfd_from_bytes("log", log, sizeof(log));
	} else
		fatal("no field %s", key);
}

static int
send_event(struct driver *d, uint64_t id, const char *type,
    const char *artifact, char **save)
{
	struct msg_event e = { .type = event_type(type) };
	char *word, *eq;
	int fd = -1;

	e.wall_ns = clock_wall_ns();
	/* The same event has the same id when it is sent again. */
	e.event_id[6] = 0x70;
	memcpy(e.event_id + 9, &id, 7);
	e.event_id[8] = 0x80;
	e.status = STATUS_RUNNING;
	e.uptime_sec = 5;
	e.telemetry.cpu_percent = 0.5;
	e.telemetry.memory_kb = 1024;
	e.telemetry.packets_processed = 1000;
	e.telemetry.latency_ms = 0.1;
	str_copy_cut(e.artifact_id, sizeof(e.artifact_id),
	    strcmp(artifact, "-") == 0 ? "" : artifact);
	while (save != NULL && (word = strtok_r(NULL, " \n", save)) != NULL) {
		eq = strchr(word, '=');
		if (eq == NULL)
			fatal("no value in %s", word);
		*eq = '\0';
		set_field(&e, word, eq + 1, &fd);
	}
	return msg_send_EVENT(d->ch, id, &e, fd);
}

static int
send_events(struct driver *d, uint64_t first, uint64_t count, const char *type,
    const char *artifact)
{
	uint64_t i;
	int r = 0;

	for (i = 0; r == 0 && i < count; i++) {
		r = send_event(d, first + i, type, artifact, NULL);
		if (imsg_backlog(d->ch) > IMSG_HIGH_WATER / 2)
			r = imsg_flush(d->ch, 10000);
	}
	return r;
}

static struct ring_writer *
ring(struct driver *d, char **save)
{
	uint64_t id = number(strtok_r(NULL, " \n", save));

	if (id >= RINGS_MAX)
		fatal("no ring %llu", (unsigned long long)id);
	return &d->rings[id];
}

static int
ring_command(struct driver *d, const char *verb, char **save)
{
	struct ring_writer *w = ring(d, save);
	uint64_t id = (uint64_t)(w - d->rings);
	struct msg_ring_remove none = { 0 };
	struct jsonbuf j = { 0 };
	const char *word;
	uint64_t count;
	int r;

	if (strcmp(verb, "ring_add") == 0) {
		word = strtok_r(NULL, " \n", save);
		r = ring_writer_open(
		    w, word, (uint32_t)number(strtok_r(NULL, " \n", save)));
		return r < 0 ? r : ring_writer_announce(w, d->ch, id);
	}
	if (strcmp(verb, "ring_write") == 0) {
		count = number(strtok_r(NULL, " \n", save));
		word = strtok_r(NULL, " \n", save);
		ring_writer_start(w, count, word != NULL ? number(word) : 0);
		return 0;
	}
	if (strcmp(verb, "ring_remove") == 0)
		return msg_send_RING_REMOVE(d->ch, id + 1, &none);
	if (strcmp(verb, "ring_forget") == 0) {
		ring_writer_close(w);
		return 0;
	}
	put(&j, "msg", "ring");
	put_number(&j, "written", ring_writer_written(w));
	put_number(&j, "lost", ring_writer_lost(w));
	put_number(&j, "pending", ring_writer_pending(w));
	print_json(&j);
	return 0;
}

static int
command(struct driver *d, char *line)
{
	struct msg_worker_ping ping = { .nonce = 42 };
	char *save = NULL, *verb = strtok_r(line, " \n", &save), *type, *art;
	uint64_t id, count;

	if (verb == NULL)
		return 0;
	if (strcmp(verb, "quit") == 0)
		return event_base_loopbreak(d->base);
	if (strcmp(verb, "restart") == 0) {
		start(d);
		return 0;
	}
	if (strcmp(verb, "kill") == 0)
		return kill(d->pid, (int)number(strtok_r(NULL, " \n", &save)));
	if (strcmp(verb, "stop") == 0) {
		imsg_free(d->ch);
		d->ch = NULL;
		reap(d);
		return 0;
	}
	if (strcmp(verb, "ping") == 0)
		return msg_send_WORKER_PING(d->ch, 0, &ping);
	if (strncmp(verb, "ring_", 5) == 0)
		return ring_command(d, verb, &save);
	id = number(strtok_r(NULL, " \n", &save));
	count = strcmp(verb, "events") == 0
	    ? number(strtok_r(NULL, " \n", &save))
	    : 0;
	type = strtok_r(NULL, " \n", &save);
	art = strtok_r(NULL, " \n", &save);
	if (type == NULL || art == NULL)
		fatal("bad line: %s", verb);
	if (count > 0)
		return send_events(d, id, count, type, art);
	return send_event(d, id, type, art, &save);
}

static void
handle_input(evutil_socket_t fd, short what, void *arg)
{
	struct driver *d = arg;
	struct jsonbuf j = { 0 };
	char *end;
	ssize_t n;
	size_t used;
	int r;

	n = read(STDIN_FILENO, d->line + d->line_len,
	    sizeof(d->line) - 1 - d->line_len);
	if (n <= 0) {
		(void)event_base_loopbreak(d->base);
		return;
	}
	d->line_len += (size_t)n;
	d->line[d->line_len] = '\0';
	while ((end = strchr(d->line, '\n')) != NULL) {
		*end = '\0';
		used = (size_t)(end + 1 - d->line);
		r = command(d, d->line);
		if (r < 0) {
			put(&j, "msg", "failed");
			put(&j, "text", strerror(-r));
			print_json(&j);
		}
		memmove(d->line, d->line + used, d->line_len - used + 1);
		d->line_len -= used;
	}
}

int
main(int argc, char **argv)
{
	static struct driver d;
	int i;

	if (argc < 2)
		return 64;
	d.argv = argv + 1;
	d.argc = argc - 1;
	d.next_seq = number(option(&d, "next_seq", "0"));
	d.handlers[MSG_WORKER_READY] = handle_ready;
	d.handlers[MSG_WORKER_LOG] = handle_log;
	d.handlers[MSG_WORKER_PONG] = handle_pong;
	d.handlers[MSG_EVENT_ACCEPTED] = handle_accepted;
	d.handlers[MSG_SIGNAL_ROLLBACK] = handle_signal;
	d.handlers[MSG_TELEM_STATE] = handle_state;
	d.base = event_base_new();
	if (d.base == NULL)
		return 1;
	d.input = event_new(
	    d.base, STDIN_FILENO, EV_READ | EV_PERSIST, handle_input, &d);
	if (d.input == NULL || event_add(d.input, NULL) == -1)
		return 1;
	start(&d);
	(void)event_base_dispatch(d.base);
	if (d.pid > 0) {
		imsg_free(d.ch);
		reap(&d);
	}
	for (i = 0; i < RINGS_MAX; i++)
		ring_writer_close(&d.rings[i]);
	event_free(d.input);
	event_base_free(d.base);
	return 0;
}
