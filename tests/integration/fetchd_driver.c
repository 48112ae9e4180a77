/* SPDX-License-Identifier: ISC */
/*
 * Plays agentd for fetchd: spawns it with its channel and says what it is
 * told on standard input, a command a line.  What fetchd says comes out on
 * standard output, a JSON object a line.
 *
 *	fetchd_driver fetchd registry|vault
 *
 * fetchd runs under its own account, as the spawner would have it: needs
 * root.
 *
 *	config URL HOST_ID BINARY_PATH POLL_SEC CACHE_BYTES IS_FILE
 *	vault URL KEY_PATH NAMESPACE|- REFRESH_SEC
 *	secret KIND FILE        KIND as enum secret_kind numbers it
 *	root DIR | cache DIR    end    poll    refresh VERSION
 *	fetch HANDLE ID SHA256|- SIZE    cancel HANDLE
 *	quit                    or the end of input
 */
#include <event2/event.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <openssl/evp.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "common/artlist.h"
#include "common/clock.h"
#include "common/keyset.h"
#include "common/log.h"
#include "common/memfd.h"
#include "common/msg.h"
#include "common/sandbox.h"

struct driver {
	struct event_base *base;
	struct imsg_channel *ch;
	enum proc_role role;
	char host_id[AEGIS_ID_SIZE];
	pid_t pid;
	char line[8192];
	size_t len;
};

static void __attribute__((noreturn)) die(const char *what)
{
	(void)fprintf(stderr, "fetchd_driver: %s: %s\n", what, strerror(errno));
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

/* ---- what fetchd says ---- */

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
handle_log(struct imsg *m, void *ctx)
{
	const struct msg_worker_log *log = msg_get_WORKER_LOG(m);
	struct json_object *o = event("log");

	put_number(o, "level", log->level);
	put(o, "artifact_id", log->artifact_id);
	put(o, "text", log->text);
	put(o, "error", log->error);
	say(o);
	return 0;
}

static int
handle_polled(struct imsg *m, void *ctx)
{
	const struct msg_fetch_polled *p = msg_get_FETCH_POLLED(m);
	struct json_object *o = event("polled");

	put_number(o, "result", p->result);
	put_number(o, "http_status", p->http_status);
	put_number(o, "next_ms", p->next_ms);
	put_number(o, "failures", p->failures);
	put_number(o, "duration_us", (int64_t)p->duration_us);
	put_number(o, "expires_ns", p->list_expires_wall_ns);
	put(o, "error", p->error);
	say(o);
	return 0;
}

static struct json_object *
entry_object(const struct artlist *list, const struct artlist_entry *e)
{
	struct json_object *o = json_object_new_object();
	char hex[2 * AEGIS_SHA256_SIZE + 1] = "";

	if (e->has_sha256)
		strnum_format_hex(e->sha256, sizeof(e->sha256), hex);
	put(o, "artifact_id", e->artifact_id);
	put(o, "name", e->name);
	put(o, "version", e->version);
	put(o, "architecture", e->architecture);
	put(o, "kernel_version", e->kernel_version);
	put(o, "replaces", e->replaces);
	put(o, "signature", e->signature);
	put(o, "sha256", hex);
	put_number(o, "size", (int64_t)e->size);
	put_number(o, "ttl_sec", e->ttl_sec);
	json_object_object_add(o, "parameters",
	    json_object_new_string_len(
		(const char *)list->data + e->params_off, (int)e->params_len));
	return o;
}

static int
handle_list(struct imsg *m, void *ctx)
{
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	struct json_object *o = event("list"), *entries;
	struct artlist list;
	const char *what;
	uint32_t i;

	check(memfd_map(m->fd, ARTLIST_MAX, &map), "map list");
	check(artlist_check(map.data, map.len, &list, &what), "check list");
	put_number(o, "skipped", msg_get_FETCH_LIST(m)->skipped);
	entries = json_object_new_array();
	for (i = 0; i < list.header->entry_count; i++)
		json_object_array_add(
		    entries, entry_object(&list, &list.entries[i]));
	json_object_object_add(o, "entries", entries);
	say(o);
	return 0;
}

static void
put_sha256(struct json_object *o, int fd)
{
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	uint8_t hash[AEGIS_SHA256_SIZE];
	char hex[2 * sizeof(hash) + 1];

	check(memfd_map(fd, AEGIS_ARTIFACT_MAX, &map), "map artifact");
	(void)EVP_Digest(map.data, map.len, hash, NULL, EVP_sha256(), NULL);
	strnum_format_hex(hash, sizeof(hash), hex);
	put(o, "sha256", hex);
	put_number(o, "bytes", (int64_t)map.len);
}

static int
handle_done(struct imsg *m, void *ctx)
{
	const struct msg_fetch_done *done = msg_get_FETCH_DONE(m);
	struct json_object *o = event("done");

	put_number(o, "handle", (int64_t)m->id);
	put_number(o, "result", done->result);
	put_number(o, "from_cache", done->from_cache);
	put_number(o, "size", (int64_t)done->size);
	put_number(o, "duration_us", (int64_t)done->duration_us);
	put(o, "error", done->error);
	if (m->fd >= 0)
		put_sha256(o, m->fd);
	say(o);
	return 0;
}

static int
handle_keys(struct imsg *m, void *ctx)
{
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	struct json_object *o = event("keys"), *keys, *key;
	struct keyset set;
	const char *what;
	uint32_t i;

	check(memfd_map(m->fd, KEYSET_MAX, &map), "map keys");
	check(keyset_check(map.data, map.len, &set, &what), "check keys");
	put_number(o, "min_version", set.header->min_version);
	keys = json_object_new_array();
	for (i = 0; i < set.header->key_count; i++) {
		key = json_object_new_object();
		put_number(key, "version", set.keys[i].version);
		json_object_object_add(key, "text",
		    json_object_new_string_len(
			set.keys[i].text, (int)set.keys[i].text_len));
		json_object_array_add(keys, key);
	}
	json_object_object_add(o, "keys", keys);
	say(o);
	return 0;
}

static int
handle_state(struct imsg *m, void *ctx)
{
	const struct msg_vault_state *state = msg_get_VAULT_STATE(m);
	struct json_object *o = event("state");

	put_number(o, "ok", state->ok);
	put_number(o, "http_status", state->http_status);
	put(o, "error", state->error);
	say(o);
	return 0;
}

static int
handle_pong(struct imsg *m, void *ctx)
{
	say(event("pong"));
	return 0;
}

static const imsg_handler handlers[MSG_TYPE_MAX] = {
	[MSG_WORKER_READY] = handle_ready,
	[MSG_WORKER_LOG] = handle_log,
	[MSG_WORKER_PONG] = handle_pong,
	[MSG_FETCH_LIST] = handle_list,
	[MSG_FETCH_POLLED] = handle_polled,
	[MSG_FETCH_DONE] = handle_done,
	[MSG_VAULT_KEYS] = handle_keys,
	[MSG_VAULT_STATE] = handle_state,
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

static int
open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1)
		die(path);
	return fd;
}

static uint64_t
number(const char *word)
{
	uint64_t n;

	check(strnum_parse_u64(word, 0, UINT64_MAX, &n), word);
	return n;
}

static void
do_config(struct driver *d, char **w)
{
	struct msg_fetch_config m = { 0 };

	check(str_copy(m.url, sizeof(m.url), w[1]), w[1]);
	check(str_copy(m.host_id, sizeof(m.host_id), w[2]), w[2]);
	check(str_copy(d->host_id, sizeof(d->host_id), w[2]), w[2]);
	check(str_copy(m.binary_path, sizeof(m.binary_path), w[3]), w[3]);
	m.poll_interval_sec = (uint32_t)number(w[4]);
	m.cache_max_bytes = number(w[5]);
	m.is_file = (uint32_t)number(w[6]);
	check(msg_send_FETCH_CONFIG(d->ch, 0, &m), "send");
}

static void
do_vault(struct driver *d, char **w)
{
	struct msg_vault_config m = { 0 };

	check(str_copy(m.url, sizeof(m.url), w[1]), w[1]);
	check(str_copy(m.key_path, sizeof(m.key_path), w[2]), w[2]);
	if (strcmp(w[3], "-") != 0)
		check(str_copy(
			  m.vault_namespace, sizeof(m.vault_namespace), w[3]),
		    w[3]);
	m.refresh_sec = (uint32_t)number(w[4]);
	check(msg_send_VAULT_CONFIG(d->ch, 0, &m), "send");
}

static void
do_secret(struct driver *d, char **w)
{
	struct msg_secret m = { .kind = (uint32_t)number(w[1]) };
	_cleanup_free_ char *text = calloc(1, AEGIS_SECRET_MAX);
	_cleanup_fd_ int file = open(w[2], O_RDONLY | O_CLOEXEC);
	ssize_t n;
	int fd;

	if (file == -1 || text == NULL)
		die(w[2]);
	n = read(file, text, AEGIS_SECRET_MAX);
	if (n == -1)
		die(w[2]);
	fd = memfd_from_bytes("secret", text, (size_t)n);
	check(fd, "memfd");
	check(msg_send_SECRET(d->ch, 0, &m, fd), "send");
}

static void
do_fetch(struct driver *d, char **w)
{
	struct msg_fetch_artifact m = { .expected_size = number(w[4]) };

	check(str_copy(m.artifact_id, sizeof(m.artifact_id), w[2]), w[2]);
	if (strcmp(w[3], "-") != 0)
		check(strnum_parse_hex(w[3], m.sha256, sizeof(m.sha256)), w[3]);
	check(msg_send_FETCH_ARTIFACT(d->ch, number(w[1]), &m), "send");
}

static void
do_end(struct driver *d, char **w)
{
	struct msg_config_end m = { .log_level = LOG_LEVEL_DEBUG };

	check(str_copy(m.host_id, sizeof(m.host_id),
		  d->host_id[0] != '\0' ? d->host_id : "host-1"),
	    "host id");
	check(msg_send_CONFIG_END(d->ch, 0, &m), "send");
}

static void
do_dir(struct driver *d, char **w)
{
	struct msg_fetch_dir m = { 0 };

	check(str_copy(m.path, sizeof(m.path), w[1]), w[1]);
	check(strcmp(w[0], "root") == 0
		? msg_send_FETCH_ROOT(d->ch, 0, &m, open_dir(w[1]))
		: msg_send_FETCH_CACHE(d->ch, 0, &m, open_dir(w[1])),
	    "send");
}

static void
do_poll(struct driver *d, char **w)
{
	struct msg_fetch_poll m = { 0 };

	check(msg_send_FETCH_POLL(d->ch, 0, &m), "send");
}

static void
do_cancel(struct driver *d, char **w)
{
	struct msg_fetch_cancel m = { 0 };

	check(msg_send_FETCH_CANCEL(d->ch, number(w[1]), &m), "send");
}

static void
do_refresh(struct driver *d, char **w)
{
	struct msg_vault_refresh m = { .version = (uint32_t)number(w[1]) };

	check(msg_send_VAULT_REFRESH(d->ch, 0, &m), "send");
}

static void
do_ping(struct driver *d, char **w)
{
	struct msg_worker_ping m = { .nonce = 1 };

	check(msg_send_WORKER_PING(d->ch, 0, &m), "send");
}

static const struct {
	const char *word;
	size_t words;
	void (*act)(struct driver *d, char **words);
} commands[] = {
	{ "config", 7, do_config },
	{ "vault", 5, do_vault },
	{ "secret", 3, do_secret },
	{ "root", 2, do_dir },
	{ "cache", 2, do_dir },
	{ "end", 1, do_end },
	{ "poll", 1, do_poll },
	{ "fetch", 5, do_fetch },
	{ "cancel", 2, do_cancel },
	{ "refresh", 2, do_refresh },
	{ "ping", 1, do_ping },
};

static void
obey(struct driver *d, char *line)
{
	char *words[8], *save, *word;
	size_t n = 0, i;

	for (word = strtok_r(line, " ", &save); word != NULL && n < 8;
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
		    n == commands[i].words) {
			commands[i].act(d, words);
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
run_child(const char *path, enum proc_role role, int fd)
{
	char *argv[] = { NULL, NULL, NULL }, *env[] = { NULL };
	const char *what = "";

	if (dup2(fd, 3) == -1)
		die("dup2");
	if (sandbox_become(role, &what) < 0)
		die(what);
	argv[0] = strdup("fetchd");
	argv[1] = strdup(proc_name(role));
	(void)execve(path, argv, env);
	die(path);
}

static void
report_end(struct driver *d)
{
	struct json_object *o = event("end");
	struct rusage use;
	int status, i;

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
	put_number(o, "cpu_us",
	    (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000 +
		use.ru_utime.tv_usec + use.ru_stime.tv_usec);
	put_number(o, "maxrss_kb", use.ru_maxrss);
	say(o);
}

int
main(int argc, char **argv)
{
	struct driver d = { .role = PROC_REGISTRY };
	struct event *input;
	struct json_object *o;
	int sv[2];

	if (argc != 3) {
		(void)fprintf(
		    stderr, "usage: fetchd_driver fetchd registry|vault\n");
		return 64;
	}
	if (strcmp(argv[2], "vault") == 0)
		d.role = PROC_VAULT;
	check(imsg_socketpair(sv), "socketpair");
	d.pid = fork();
	if (d.pid == -1)
		die("fork");
	if (d.pid == 0)
		run_child(argv[1], d.role, sv[1]);
	(void)close(sv[1]);
	d.base = event_base_new();
	if (d.base == NULL)
		die("event_base_new");
	check(imsg_open(&d.ch, d.base, sv[0], PROC_AGENTD, d.role, handlers,
		  handle_closed, &d),
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
