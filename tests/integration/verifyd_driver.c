/* SPDX-License-Identifier: ISC */
/*
 * Plays agentd for verifyd: spawns it with its channel and says what it is
 * told on standard input, a command a line.  What verifyd says comes out on
 * standard output, a JSON object a line; a plan comes out in words, after
 * loadplan_check() has passed it.
 *
 *	verifyd_driver [-u] verifyd
 *
 * -u: under its own account, as the spawner would (needs root).
 *
 *	config ARCHITECTURE KERNEL schema|signed|any [CPU_SEC]    end    ping
 *	keys FILE                 keyset MIN VERSION=FILE [VERSION=FILE ...]
 *	verify HANDLE NAME VERSION FILE SIGNATURE_FILE
 *	       SHA256|- PARAMETERS_FILE|- ARCHITECTURE|- KERNEL|-
 *	unsealed HANDLE           the artifact in a memfd without seals
 *	quit                      or the end of input
 */
#include <event2/event.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "common/attach.h"
#include "common/clock.h"
#include "common/keyset.h"
#include "common/loadplan.h"
#include "common/memfd.h"
#include "common/msg.h"
#include "common/sandbox.h"

#define WORDS_MAX 16

struct driver {
	struct event_base *base;
	struct imsg_channel *ch;
	pid_t pid;
	char line[8192];
	size_t len;
};

static void __attribute__((noreturn)) die(const char *what)
{
	(void)fprintf(
	    stderr, "verifyd_driver: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
check(int r, const char *what)
{
	if (r < 0) {
		errno = -r;
		die(what);
	}
}

/* ---- what verifyd says ---- */

static struct json_object *
event(const char *word)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "event", json_object_new_string(word));
	json_object_object_add(
	    o, "at_ns", json_object_new_int64(clock_boot_ns()));
	return o;
}

static void
put(struct json_object *o, const char *key, const char *s)
{
	json_object_object_add(o, key, json_object_new_string(s));
}

static void
put_number(struct json_object *o, const char *key, int64_t n)
{
	json_object_object_add(o, key, json_object_new_int64(n));
}

static void
put_hex(struct json_object *o, const char *key, const uint8_t *data, size_t len)
{
	_cleanup_free_ char *hex = malloc(2 * len + 1);

	if (hex == NULL)
		die("malloc");
	strnum_format_hex(data, len, hex);
	put(o, key, hex);
}

/* An array under KEY, to be filled. */
static struct json_object *
put_list(struct json_object *o, const char *key)
{
	struct json_object *list = json_object_new_array();

	json_object_object_add(o, key, list);
	return list;
}

static struct json_object *
list_object(struct json_object *list)
{
	struct json_object *o = json_object_new_object();

	json_object_array_add(list, o);
	return o;
}

static void
say(struct json_object *o)
{
	(void)puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	(void)fflush(stdout);
	(void)json_object_put(o);
}

static int
handle_ready(struct imsg *m, void *ctx)
{
	struct json_object *o = event("ready");

	put_number(o, "landlock", msg_get_WORKER_READY(m)->landlock_abi);
	say(o);
	return 0;
}

static int
handle_pong(struct imsg *m, void *ctx)
{
	say(event("pong"));
	return 0;
}

static int
handle_log(struct imsg *m, void *ctx)
{
	const struct msg_worker_log *log = msg_get_WORKER_LOG(m);
	struct json_object *o = event("log");

	put_number(o, "level", log->level);
	put(o, "text", log->text);
	put(o, "error", log->error);
	say(o);
	return 0;
}

static int
handle_object(struct imsg *m, void *ctx)
{
	const struct msg_verify_object *object = msg_get_VERIFY_OBJECT(m);
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	struct json_object *o = event("object");

	check(memfd_map(m->fd, AEGIS_EXTRACTED_MAX, &map), "object");
	put_number(o, "handle", (int64_t)m->id);
	put_number(o, "size", (int64_t)map.len);
	put_hex(o, "sha256", object->sha256, sizeof(object->sha256));
	say(o);
	return 0;
}

static void
show_progs(struct json_object *o, const struct loadplan *p)
{
	struct json_object *list = put_list(o, "progs"), *item;
	uint32_t i;

	for (i = 0; i < p->header->prog_count; i++) {
		item = list_object(list);
		put(item, "name", p->progs[i].name);
		put_number(item, "autoload", p->progs[i].autoload);
		put_number(item, "prog_type", p->progs[i].prog_type);
		json_object_object_add(item, "attach_target",
		    json_object_new_string_len(
			(const char *)p->data + p->progs[i].attach_target_off,
			(int)p->progs[i].attach_target_len));
	}
}

static void
show_maps(struct json_object *o, const struct loadplan *p)
{
	struct json_object *list = put_list(o, "maps"), *item;
	uint32_t i;

	for (i = 0; i < p->header->map_count; i++) {
		item = list_object(list);
		put(item, "name", p->maps[i].name);
		put_number(item, "type", p->maps[i].type);
		put_number(item, "key_size", p->maps[i].key_size);
		put_number(item, "value_size", p->maps[i].value_size);
		put_number(item, "max_entries", p->maps[i].max_entries);
		put_number(item, "flags", p->maps[i].flags);
	}
}

static void
show_attaches(struct json_object *o, const struct loadplan *p)
{
	struct json_object *list = put_list(o, "attaches"), *item;
	uint32_t i;

	for (i = 0; i < p->header->attach_count; i++) {
		item = list_object(list);
		put(item, "prog", p->progs[p->attaches[i].prog].name);
		put(item, "kind", attach_row(p->attaches[i].kind)->name);
		put_number(item, "flags", p->attaches[i].flags);
		put_number(item, "priority", p->attaches[i].priority);
		put(item, "target", p->attaches[i].target);
	}
}

static void
show_counters(struct json_object *o, const struct loadplan *p)
{
	static const char *const kinds[] = { "packets_processed", "violations",
		"errors" };
	struct json_object *list = put_list(o, "counters"), *item;
	uint32_t i;

	for (i = 0; i < p->header->counter_count; i++) {
		item = list_object(list);
		put(item, "kind", kinds[p->counters[i].kind]);
		put(item, "map", p->maps[p->counters[i].map].name);
		put_number(item, "offset", p->counters[i].offset);
		put_number(item, "size", p->counters[i].size);
	}
}

static void
show_writes(struct json_object *o, const struct loadplan *p)
{
	struct json_object *list = put_list(o, "writes"), *item;
	const struct loadplan_write *w;
	uint32_t i;

	for (i = 0; i < p->header->write_count && i < 1000; i++) {
		w = &p->writes[i];
		item = list_object(list);
		put(item, "map", p->maps[w->map].name);
		if (w->kind == WRITE_INITIAL)
			put_number(item, "offset", w->offset);
		else
			put_hex(item, "key", p->data + w->key_off,
			    p->maps[w->map].key_size);
		put_hex(item, "value", p->data + w->value_off, w->value_len);
	}
}

static int
handle_plan(struct imsg *m, void *ctx)
{
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	struct json_object *o = event("plan");
	const char *what = "";
	struct loadplan p;

	check(memfd_map(m->fd, AEGIS_PLAN_MAX, &map), "plan");
	check(loadplan_check(map.data, map.len, &p, &what), what);
	put_number(o, "handle", (int64_t)m->id);
	put(o, "object_name", p.header->object_name);
	put(o, "name", p.header->name);
	put(o, "version", p.header->artifact_version);
	put(o, "replaces", p.header->replaces);
	put_number(o, "max_ttl_sec", (int64_t)p.header->max_ttl_sec);
	put_number(o, "sequence", (int64_t)p.header->sequence);
	put_number(o, "not_after_wall_ns", p.header->not_after_wall_ns);
	json_object_object_add(o, "max_errors",
	    json_object_new_double(p.header->limits.max_errors));
	put_number(o, "write_count", p.header->write_count);
	show_progs(o, &p);
	show_maps(o, &p);
	show_attaches(o, &p);
	show_counters(o, &p);
	show_writes(o, &p);
	say(o);
	return 0;
}

static int
handle_effective(struct imsg *m, void *ctx)
{
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	struct json_object *o = event("effective");

	check(memfd_map(m->fd, AEGIS_PARAMETERS_MAX, &map), "effective");
	put_number(o, "handle", (int64_t)m->id);
	json_object_object_add(
	    o, "text", json_object_new_string_len(map.data, (int)map.len));
	say(o);
	return 0;
}

static int
handle_description(struct imsg *m, void *ctx)
{
	struct json_object *o = event("description");

	put_number(o, "handle", (int64_t)m->id);
	say(o);
	return 0;
}

static int
handle_done(struct imsg *m, void *ctx)
{
	const struct msg_verify_done *done = msg_get_VERIFY_DONE(m);
	static const char *const results[] = { "ok", "transient", "refused",
		"verifier", "mismatch" };
	struct json_object *o = event("done");

	if (done->result >= nitems(results) || !MSG_TEXT_OK(done->error) ||
	    !MSG_TEXT_OK(done->key_id))
		return -EINVAL;
	put_number(o, "handle", (int64_t)m->id);
	put(o, "result", results[done->result]);
	put_number(o, "key_version", done->key_version);
	put(o, "key_id", done->key_id);
	put(o, "error", done->error);
	say(o);
	return 0;
}

static const imsg_handler handlers[MSG_TYPE_MAX] = {
	[MSG_WORKER_READY] = handle_ready,
	[MSG_WORKER_PONG] = handle_pong,
	[MSG_WORKER_LOG] = handle_log,
	[MSG_VERIFY_OBJECT] = handle_object,
	[MSG_VERIFY_PLAN] = handle_plan,
	[MSG_VERIFY_EFFECTIVE] = handle_effective,
	[MSG_VERIFY_DESCRIPTION] = handle_description,
	[MSG_VERIFY_DONE] = handle_done,
};

static void
handle_closed(int reason, const char *text, void *ctx)
{
	struct driver *d = ctx;
	struct json_object *o = event("closed");

	put_number(o, "reason", reason);
	put(o, "text", text != NULL ? text : "");
	say(o);
	(void)event_base_loopbreak(d->base);
}

/* ---- what it is told ---- */

/* The bytes of a file, NUL-terminated; owned. */
static char *
slurp(const char *path, size_t *len)
{
	_cleanup_file_ FILE *f = fopen(path, "re");
	char *p = malloc(AEGIS_ARTIFACT_MAX + 2);

	if (f == NULL || p == NULL)
		die(path);
	*len = fread(p, 1, AEGIS_ARTIFACT_MAX + 1, f);
	p[*len] = '\0';
	return p;
}

static int
sealed_file(const char *path)
{
	_cleanup_free_ char *p = NULL;
	size_t len;
	int fd;

	p = slurp(path, &len);
	fd = memfd_from_bytes("test", p, len);
	check(fd, path);
	return fd;
}

static void
fill(char *field, size_t size, const char *word)
{
	check(str_copy(field, size, strcmp(word, "-") == 0 ? "" : word), word);
}

static uint64_t
number(const char *s)
{
	uint64_t n;

	check(strnum_parse_u64(s, 0, INT64_MAX, &n), s);
	return n;
}

static void
do_config(struct driver *d, char **w, size_t n)
{
	struct msg_verify_config m = { .cpu_limit_sec = 20 };

	fill(m.architecture, sizeof(m.architecture), w[1]);
	fill(m.kernel_release, sizeof(m.kernel_release), w[2]);
	m.parameters_policy = strcmp(w[3], "signed") == 0 ? PARAMETERS_SIGNED
	    : strcmp(w[3], "any") == 0                    ? PARAMETERS_ANY
							  : PARAMETERS_SCHEMA;
	if (n >= 5)
		m.cpu_limit_sec = (uint32_t)atoi(w[4]);
	m.may_inspect = n == 6 && strcmp(w[5], "aegisctl") == 0;
	check(msg_send_VERIFY_CONFIG(d->ch, 0, &m), "send");
}

static void
do_end(struct driver *d, char **w, size_t n)
{
	struct msg_config_end m = { .host_id = "host-test" };

	check(msg_send_CONFIG_END(d->ch, 0, &m), "send");
}

static void
do_ping(struct driver *d, char **w, size_t n)
{
	struct msg_worker_ping m = { .nonce = 1 };

	check(msg_send_WORKER_PING(d->ch, 0, &m), "send");
}

static void
do_keys(struct driver *d, char **w, size_t n)
{
	struct msg_verify_keys m = { 0 };

	check(msg_send_VERIFY_KEYS(d->ch, 0, &m, sealed_file(w[1])), "send");
}

static void
do_keyset(struct driver *d, char **w, size_t n)
{
	struct msg_verify_keys m = { .is_keyset = 1 };
	size_t count = n - 2, i,
	       len = sizeof(struct keyset_header) +
	    count * sizeof(struct keyset_key),
	       text_len;
	_cleanup_free_ struct keyset_header *h = calloc(1, len);
	struct keyset_key *keys = (struct keyset_key *)(h + 1);
	char *file, *text;
	int fd;

	if (h == NULL)
		die("calloc");
	h->magic = KEYSET_MAGIC;
	h->version = KEYSET_VERSION;
	h->key_count = (uint32_t)count;
	h->min_version = (uint32_t)number(w[1]);
	for (i = 0; i < count; i++) {
		file = strchr(w[2 + i], '=');
		if (file == NULL)
			die(w[2 + i]);
		*file++ = '\0';
		text = slurp(file, &text_len);
		keys[i].version = (uint32_t)number(w[2 + i]);
		keys[i].text_len = (uint32_t)text_len;
		memcpy(keys[i].text, text, text_len);
		free(text);
	}
	fd = memfd_from_bytes("keyset", h, len);
	check(fd, "keyset");
	check(msg_send_VERIFY_KEYS(d->ch, 0, &m, fd), "send");
}

static void
do_verify(struct driver *d, char **w, size_t n)
{
	struct msg_verify_artifact m = { .artifact_id = "artifact-1" };
	const struct msg_verify_parameters parameters = { 0 };
	uint64_t handle = number(w[1]);
	_cleanup_free_ char *signature = NULL;
	size_t len;

	fill(m.name, sizeof(m.name), w[2]);
	fill(m.version, sizeof(m.version), w[3]);
	signature = slurp(w[5], &len);
	check(str_copy(m.signature, sizeof(m.signature), signature), w[5]);
	if (strcmp(w[6], "-") != 0) {
		m.has_sha256 = 1;
		check(strnum_parse_hex(w[6], m.sha256, sizeof(m.sha256)), w[6]);
	}
	if (strcmp(w[7], "-") != 0) {
		m.has_parameters = 1;
		check(msg_send_VERIFY_PARAMETERS(
			  d->ch, handle, &parameters, sealed_file(w[7])),
		    "send");
	}
	fill(m.architecture, sizeof(m.architecture), w[8]);
	fill(m.kernel_version, sizeof(m.kernel_version), w[9]);
	check(msg_send_VERIFY_ARTIFACT(d->ch, handle, &m, sealed_file(w[4])),
	    "send");
}

static void
do_inspect(struct driver *d, char **w, size_t n)
{
	struct msg_verify_inspect m = { 0 };

	check(
	    msg_send_VERIFY_INSPECT(d->ch, number(w[1]), &m, sealed_file(w[2])),
	    "send");
}

static void
do_unsealed(struct driver *d, char **w, size_t n)
{
	struct msg_verify_artifact m = { .artifact_id = "artifact-1",
		.name = "n",
		.version = "1",
		.signature = "AAAA" };
	int fd = memfd_create_buffer("unsealed");

	check(fd, "memfd");
	check(msg_send_VERIFY_ARTIFACT(d->ch, number(w[1]), &m, fd), "send");
}

static const struct {
	const char *word;
	size_t min, max;
	void (*act)(struct driver *d, char **words, size_t n);
} commands[] = {
	{ "config", 4, 6, do_config },
	{ "keys", 2, 2, do_keys },
	{ "keyset", 3, WORDS_MAX, do_keyset },
	{ "end", 1, 1, do_end },
	{ "ping", 1, 1, do_ping },
	{ "verify", 10, 10, do_verify },
	{ "inspect", 3, 3, do_inspect },
	{ "unsealed", 2, 2, do_unsealed },
};

static void
obey(struct driver *d, char *line)
{
	char *words[WORDS_MAX], *save, *word;
	size_t n = 0, i;

	for (word = strtok_r(line, " ", &save); word != NULL && n < WORDS_MAX;
	     word = strtok_r(NULL, " ", &save))
		words[n++] = word;
	if (n == 0)
		return;
	if (strcmp(words[0], "quit") == 0) {
		(void)event_base_loopbreak(d->base);
		return;
	}
	for (i = 0; i < nitems(commands); i++) {
		if (strcmp(words[0], commands[i].word) == 0 &&
		    n >= commands[i].min && n <= commands[i].max) {
			commands[i].act(d, words, n);
			return;
		}
	}
	errno = EINVAL;
	die(words[0]);
}

static void
handle_input(evutil_socket_t fd, short what, void *arg)
{
	struct driver *d = arg;
	ssize_t n;
	char *end;

	n = read(fd, d->line + d->len, sizeof(d->line) - 1 - d->len);
	if (n <= 0) {
		(void)event_base_loopbreak(d->base);
		return;
	}
	d->len += (size_t)n;
	d->line[d->len] = '\0';
	while ((end = strchr(d->line, '\n')) != NULL) {
		*end++ = '\0';
		obey(d, d->line);
		d->len -= (size_t)(end - d->line);
		memmove(d->line, end, d->len + 1);
	}
}

/* ---- the child ---- */

static void __attribute__((noreturn))
run_child(const char *path, int fd, bool own_user)
{
	char name[] = "verifyd", *argv[] = { name, NULL }, *env[] = { NULL };
	const char *what = "";

	if (dup2(fd, PROC_CHANNEL_FD) == -1)
		die("dup2");
	if (own_user && sandbox_become(PROC_VERIFY, &what) < 0)
		die(what);
	(void)execve(path, argv, env);
	die(path);
}

static void
report_end(struct driver *d)
{
	struct json_object *o = event("end");
	struct rusage use;
	int status = 0, i;

	/* A minute, as all that is waited for. */
	for (i = 0; i < 6000; i++) {
		if (waitpid(d->pid, &status, WNOHANG) == d->pid)
			break;
		(void)usleep(10000);
	}
	if (i == 6000) {
		(void)kill(d->pid, SIGKILL);
		(void)waitpid(d->pid, &status, 0);
		put(o, "note", "did not end by itself");
	}
	(void)getrusage(RUSAGE_CHILDREN, &use);
	put_number(o, "exit", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	put_number(o, "signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	put_number(o, "maxrss_kb", use.ru_maxrss);
	say(o);
}

int
main(int argc, char **argv)
{
	struct driver d = { 0 };
	bool own_user = argc > 1 && strcmp(argv[1], "-u") == 0;
	struct event *input;
	struct json_object *o;
	int sv[2];

	argv += own_user;
	argc -= own_user;
	if (argc != 2) {
		(void)fprintf(stderr, "usage: verifyd_driver [-u] verifyd\n");
		return 64;
	}
	check(imsg_socketpair(sv), "socketpair");
	d.pid = fork();
	if (d.pid == -1)
		die("fork");
	if (d.pid == 0)
		run_child(argv[1], sv[1], own_user);
	(void)close(sv[1]);
	d.base = event_base_new();
	if (d.base == NULL)
		die("event_base_new");
	check(imsg_open(&d.ch, d.base, sv[0], PROC_AGENTD, PROC_VERIFY,
		  handlers, handle_closed, &d),
	    "imsg_open");
	o = event("started");
	put_number(o, "pid", d.pid);
	say(o);
	/* A file cannot be waited for with epoll: pipes and terminals only. */
	input = event_new(d.base, 0, EV_READ | EV_PERSIST, handle_input, &d);
	if (input == NULL || event_add(input, NULL) != 0)
		die("standard input");
	(void)event_base_dispatch(d.base);
	imsg_free(d.ch);
	report_end(&d);
	event_free(input);
	event_base_free(d.base);
	return 0;
}
