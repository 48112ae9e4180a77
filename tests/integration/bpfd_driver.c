/* SPDX-License-Identifier: ISC */
/*
 * Plays agentd, and verifyd's part of the plan, to a real bpfd under its own
 * account and capabilities.  Obeys standard input, a command a line; each
 * ends with the line "ok" or "error TEXT":
 *
 *	spawn PATH CGROUP_ROOT	start bpfd; prints "ready PID LANDLOCK"
 *	start ID OBJECT KEY=VALUE...	send a load; keys are below
 *	wait ID			for its LOAD_DONE; prints what came
 *	load ...		start, then wait
 *	unload ID		close its links, forget it
 *	forget ID		only the message
 *	sample			prints a "sampled" line for each artifact
 *	adopt ID		tell bpfd of a running artifact
 *	kill			bpfd, by SIGKILL
 *	lost			wait until bpfd closes the channel or dies
 *	ping			and wait for the answer; prints microseconds
 *
 * Keys of a load: attach=PROG,KIND,TARGET[,FLAGS]  global=NAME,HEX
 * elem=MAP,KEYHEX,VALUEHEX  target=PROG,SYMBOL  old=N,ID,M (link M of ID for
 * attachment N)  carry=MAP,ID  and, to lie: name=MAP,NEWNAME
 * size=MAP,VALUESIZE  far=MAP,OFFSET (a global write there)  unsealed=1
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <err.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/loadplan.h"
#include "common/log.h"
#include "common/memfd.h"
#include "common/msg.h"
#include "common/sandbox.h"
#include "common/strnum.h"

#define MAX_LOADS 1024

struct held {
	bool used, done;
	int plan, progs[64], maps[64], links[64];
	char map_names[64][AEGIS_BPF_NAME_SIZE];
	struct msg_load_prog prog_info[64];
	struct msg_load_map map_info[64];
};

static struct event_base *base;
static struct imsg_channel *bpfd;
static pid_t pid;
static bool ready, sampled, ponged;
static int landlock;
static struct held held[MAX_LOADS];

static struct held *
get(uint64_t id)
{
	if (id == 0 || id >= MAX_LOADS)
		errx(2, "id");
	return &held[id];
}

static void
held_clear(struct held *h)
{
	size_t i;

	if (h->used) {
		fd_close(&h->plan);
		for (i = 0; i < 64; i++) {
			fd_close(&h->progs[i]);
			fd_close(&h->maps[i]);
			fd_close(&h->links[i]);
		}
	}
	memset(h, 0, sizeof(*h));
	h->plan = -1;
	for (i = 0; i < 64; i++)
		h->progs[i] = h->maps[i] = h->links[i] = -1;
}

static void
out(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	(void)putchar('\n');
	(void)fflush(stdout);
}

/* ---- what bpfd says ---- */

static int
on_ready(struct imsg *m, void *ctx)
{
	landlock = msg_get_WORKER_READY(m)->landlock_abi;
	ready = true;
	return 0;
}

static int
on_log(struct imsg *m, void *ctx)
{
	const struct msg_worker_log *log = msg_get_WORKER_LOG(m);

	out("log %s %s: %s", log->artifact_id, log->text, log->error);
	return 0;
}

static int
on_pong(struct imsg *m, void *ctx)
{
	ponged = true;
	return 0;
}

static int
on_prog(struct imsg *m, void *ctx)
{
	const struct msg_load_prog *msg = msg_get_LOAD_PROG(m);
	struct held *h = get(m->id);

	h->progs[msg->index] = imsg_take_fd(m);
	h->prog_info[msg->index] = *msg;
	out("prog %u %u", msg->index, msg->prog_id);
	return 0;
}

static int
on_map(struct imsg *m, void *ctx)
{
	const struct msg_load_map *msg = msg_get_LOAD_MAP(m);
	struct held *h = get(m->id);

	h->maps[msg->index] = imsg_take_fd(m);
	h->map_info[msg->index] = *msg;
	out("map %u %u %s", msg->index, msg->map_id, h->map_names[msg->index]);
	return 0;
}

static int
on_link(struct imsg *m, void *ctx)
{
	const struct msg_load_link *msg = msg_get_LOAD_LINK(m);

	get(m->id)->links[msg->attach] = imsg_take_fd(m);
	out("link %u %u", msg->attach, msg->link_id);
	return 0;
}

static int
on_updated(struct imsg *m, void *ctx)
{
	out("updated %u", msg_get_LOAD_UPDATED(m)->attach);
	return 0;
}

static int
on_verifier_log(struct imsg *m, void *ctx)
{
	_cleanup_memfd_map_ struct memfd_map map;
	const char *end;

	if (memfd_map(m->fd, AEGIS_VERIFIER_LOG, &map) < 0)
		errx(2, "verifier log");
	end = memrchr(map.data, '\n', map.len - 1);
	out("verifier %zu %.*s", map.len,
	    (int)((const char *)map.data + map.len - 2 - end), end + 1);
	return 0;
}

static int
on_done(struct imsg *m, void *ctx)
{
	const struct msg_load_done *msg = msg_get_LOAD_DONE(m);

	get(m->id)->done = true;
	out("done %u %lu %lu %s", msg->result, msg->load_us, msg->attach_us,
	    msg->error);
	return 0;
}

static int
on_sampled(struct imsg *m, void *ctx)
{
	const struct msg_bpf_sampled *s = msg_get_BPF_SAMPLED(m);

	out("sampled %lu %d %lu %lu %lu %ld %ld %ld", m->id, s->result,
	    s->run_count, s->run_time_ns, s->memory_bytes,
	    (long)s->packets_processed, (long)s->violations, (long)s->errors);
	return 0;
}

static int
on_sample_end(struct imsg *m, void *ctx)
{
	sampled = true;
	return 0;
}

static const imsg_handler handlers[MSG_TYPE_MAX] = {
	[MSG_WORKER_READY] = on_ready,
	[MSG_WORKER_LOG] = on_log,
	[MSG_WORKER_PONG] = on_pong,
	[MSG_LOAD_PROG] = on_prog,
	[MSG_LOAD_MAP] = on_map,
	[MSG_LOAD_LINK] = on_link,
	[MSG_LOAD_UPDATED] = on_updated,
	[MSG_LOAD_VERIFIER_LOG] = on_verifier_log,
	[MSG_LOAD_DONE] = on_done,
	[MSG_BPF_SAMPLED] = on_sampled,
	[MSG_BPF_SAMPLE_END] = on_sample_end,
};

static void
on_closed(int reason, const char *text, void *ctx)
{
	int status = 0;

	imsg_free(bpfd);
	bpfd = NULL;
	(void)waitpid(pid, &status, 0);
	out("closed %d %s status %d signal %d", reason, text,
	    WIFEXITED(status) ? WEXITSTATUS(status) : -1,
	    WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

static const char *
await(const bool *flag)
{
	while (bpfd != NULL && !*flag)
		if (event_base_loop(base, EVLOOP_ONCE) != 0)
			return "event loop";
	return *flag ? NULL : "bpfd is gone";
}

/* ---- starting it ---- */

static void
child(const char *path, int fd)
{
	const char *what = "dup";
	int devnull = open("/dev/null", O_RDWR);

	if (dup2(fd, PROC_CHANNEL_FD) == -1 ||
	    (fd == PROC_CHANNEL_FD && fcntl(fd, F_SETFD, 0) == -1) ||
	    dup2(devnull, 0) == -1 || sandbox_become(PROC_BPF, &what) < 0)
		err(3, "%s", what);
	(void)execl(path, path, NULL);
	err(3, "%s", path);
}

static const char *
do_spawn(const char *path, const char *cgroup_root)
{
	struct msg_bpf_config config = { 0 };
	struct msg_config_end end = { .log_level = LOG_LEVEL_DEBUG };
	const char *wrong;
	int sv[2];

	if (imsg_socketpair(sv) < 0)
		return "socketpair";
	pid = fork();
	if (pid == 0)
		child(path, sv[1]);
	(void)close(sv[1]);
	ready = false;
	if (imsg_open(&bpfd, base, sv[0], PROC_AGENTD, PROC_BPF, handlers,
		on_closed, NULL) < 0)
		return "imsg_open";
	str_copy_cut(
	    config.cgroup_root, sizeof(config.cgroup_root), cgroup_root);
	str_copy_cut(end.host_id, sizeof(end.host_id), "host-test");
	if (msg_send_BPF_CONFIG(bpfd, 0, &config) < 0 ||
	    msg_send_CONFIG_END(bpfd, 0, &end) < 0)
		return "send";
	wrong = await(&ready);
	if (wrong == NULL)
		out("ready %d %d", pid, landlock);
	return wrong;
}

/* ---- the plan ---- */

struct plan_maker {
	struct bpf_object *bpf;
	struct loadplan_builder *b;
	struct held *h;
	uint64_t id;
	char args[8192];
};

static int
map_index(struct plan_maker *p, const char *name)
{
	struct bpf_map *m;
	int i = 0;

	bpf_object__for_each_map (m, p->bpf) {
		if (strcmp(bpf_map__name(m), name) == 0)
			return i;
		i++;
	}
	errx(2, "no map %s", name);
}

static int
prog_index(struct plan_maker *p, const char *name)
{
	struct bpf_program *prog;
	int i = 0;

	bpf_object__for_each_program (prog, p->bpf) {
		if (strcmp(bpf_program__name(prog), name) == 0)
			return i;
		i++;
	}
	errx(2, "no program %s", name);
}

static uint32_t
add_hex(struct plan_maker *p, const char *hex, uint32_t *len)
{
	uint8_t bytes[1024];
	uint32_t off;

	*len = (uint32_t)strlen(hex) / 2;
	if (*len > sizeof(bytes) || strnum_parse_hex(hex, bytes, *len) < 0 ||
	    loadplan_add_data(p->b, bytes, *len, &off) < 0)
		errx(2, "hex %s", hex);
	return off;
}

/* The internal map and the offset of a global variable. */
static void
find_global(struct plan_maker *p, const char *name, struct loadplan_write *w)
{
	const struct btf *btf = bpf_object__btf(p->bpf);
	const struct btf_var_secinfo *var;
	const struct btf_type *sec;
	char map[64];
	uint32_t id, i;

	for (id = 1; id < btf__type_cnt(btf); id++) {
		sec = btf__type_by_id(btf, id);
		if (!btf_is_datasec(sec))
			continue;
		var = btf_var_secinfos(sec);
		for (i = 0; i < btf_vlen(sec); i++) {
			if (strcmp(btf__name_by_offset(btf,
				       btf__type_by_id(btf, var[i].type)
					   ->name_off),
				name) != 0)
				continue;
			(void)snprintf(map, sizeof(map), "it%s",
			    btf__name_by_offset(btf, sec->name_off));
			w->map = (uint32_t)map_index(p, map);
			w->offset = var[i].offset;
			return;
		}
	}
	errx(2, "no global %s", name);
}

static void
add_attach(struct plan_maker *p, char *prog, char *kind, char *target,
    const char *flags)
{
	struct loadplan_attach a = { 0 };
	uint32_t i;

	a.prog = (uint32_t)prog_index(p, prog);
	for (i = 0; i < ATTACH_KIND_MAX; i++)
		if (strcmp(attach_row(i)->name, kind) == 0)
			break;
	a.kind = i;
	a.flags = flags == NULL ? 0 : (uint32_t)atoi(flags);
	str_copy_cut(a.target, sizeof(a.target), target);
	loadplan_builder_prog(p->b, a.prog)->autoload = 1;
	if (loadplan_add_attach(p->b, &a) < 0)
		errx(2, "attach");
}

static void
add_key(struct plan_maker *p, const char *key, char *v[4])
{
	struct loadplan_write w = { 0 };
	struct loadplan_prog *prog;

	if (strcmp(key, "attach") == 0) {
		add_attach(p, v[0], v[1], v[2], v[3]);
	} else if (strcmp(key, "global") == 0) {
		w.kind = WRITE_INITIAL;
		find_global(p, v[0], &w);
		w.value_off = add_hex(p, v[1], &w.value_len);
	} else if (strcmp(key, "far") == 0) {
		w.kind = WRITE_INITIAL;
		w.map = (uint32_t)map_index(p, v[0]);
		w.offset = (uint32_t)atoi(v[1]);
		w.value_off = add_hex(p, "11223344", &w.value_len);
	} else if (strcmp(key, "elem") == 0) {
		uint32_t key_len;

		w.kind = WRITE_ELEMENT;
		w.map = (uint32_t)map_index(p, v[0]);
		w.key_off = add_hex(p, v[1], &key_len);
		w.value_off = add_hex(p, v[2], &w.value_len);
	} else if (strcmp(key, "target") == 0) {
		prog =
		    loadplan_builder_prog(p->b, (uint32_t)prog_index(p, v[0]));
		prog->attach_target_len = (uint32_t)strlen(v[1]);
		if (loadplan_add_data(p->b, v[1], prog->attach_target_len,
			&prog->attach_target_off) < 0)
			errx(2, "data");
	} else if (strcmp(key, "name") == 0) {
		str_copy_cut(
		    loadplan_builder_map(p->b, (uint32_t)map_index(p, v[0]))
			->name,
		    AEGIS_BPF_NAME_SIZE, v[1]);
	} else if (strcmp(key, "size") == 0) {
		loadplan_builder_map(p->b, (uint32_t)map_index(p, v[0]))
		    ->value_size = (uint32_t)atoi(v[1]);
	}
	if (w.value_len != 0 && loadplan_add_write(p->b, &w) < 0)
		errx(2, "write");
}

/* Call FN for every key=a,b,c,d of the arguments. */
static void
each_key(struct plan_maker *p,
    void (*fn)(struct plan_maker *, const char *, char **))
{
	char copy[sizeof(p->args)], *word, *save = NULL, *v[4], *save2;
	size_t i;

	memcpy(copy, p->args, sizeof(copy));
	for (word = strtok_r(copy, " ", &save); word != NULL;
	     word = strtok_r(NULL, " ", &save)) {
		char *value = strchr(word, '=');

		if (value == NULL)
			errx(2, "argument %s", word);
		*value++ = '\0';
		save2 = NULL;
		for (i = 0; i < 4; i++)
			v[i] = strtok_r(i == 0 ? value : NULL, ",", &save2);
		fn(p, word, v);
	}
}

static void
add_counters(struct plan_maker *p, uint32_t map, uint32_t value_size)
{
	/* struct aegis_stats: processed, dropped, violations, errors */
	static const uint32_t offsets[COUNTER_KIND_MAX] = { 0, 16, 24 };
	struct loadplan_counter c = { .map = map, .size = 8 };

	if (value_size != 32)
		return;
	for (c.kind = 0; c.kind < COUNTER_KIND_MAX; c.kind++) {
		c.offset = offsets[c.kind];
		if (loadplan_add_counter(p->b, &c) < 0)
			errx(2, "counter");
	}
}

static void
describe_object(struct plan_maker *p)
{
	struct loadplan_header *hdr = loadplan_builder_header(p->b);
	struct bpf_program *prog;
	struct bpf_map *m;
	uint32_t i = 0;

	str_copy_cut(hdr->object_name, sizeof(hdr->object_name), "it");
	str_copy_cut(hdr->name, sizeof(hdr->name), "it_program");
	str_copy_cut(
	    hdr->artifact_version, sizeof(hdr->artifact_version), "1.0.0");
	bpf_object__for_each_program (prog, p->bpf) {
		struct loadplan_prog lp = { .prog_type =
						bpf_program__type(prog) };

		str_copy_cut(lp.name, sizeof(lp.name), bpf_program__name(prog));
		if (loadplan_add_prog(p->b, &lp) < 0)
			errx(2, "prog");
	}
	bpf_object__for_each_map (m, p->bpf) {
		struct loadplan_map lm = {
			.type = bpf_map__type(m),
			.key_size = bpf_map__key_size(m),
			.value_size = bpf_map__value_size(m),
			.max_entries = bpf_map__max_entries(m),
		};

		str_copy_cut(lm.name, sizeof(lm.name), bpf_map__name(m));
		str_copy_cut(p->h->map_names[i], sizeof(lm.name), lm.name);
		if (strcmp(lm.name, "stats") == 0) {
			lm.flags = LOADPLAN_MAP_STATS;
			add_counters(p, i, lm.value_size);
		}
		if (loadplan_add_map(p->b, &lm) < 0)
			errx(2, "map");
		i++;
	}
}

static uint32_t old_links;

static void
send_old(struct plan_maker *p, const char *key, char *v[4])
{
	struct msg_load_old_link link = { 0 };
	struct msg_load_map map = { 0 };
	struct held *from;
	int i, r = 0;

	if (strcmp(key, "old") == 0) {
		link.attach = (uint32_t)atoi(v[0]);
		from = get((uint64_t)atoi(v[1]));
		r = msg_send_LOAD_OLD_LINK(
		    bpfd, p->id, &link, dup(from->links[atoi(v[2])]));
		old_links++;
	} else if (strcmp(key, "carry") == 0) {
		map.index = (uint32_t)map_index(p, v[0]);
		from = get((uint64_t)atoi(v[1]));
		for (i = 0; strcmp(from->map_names[i], v[0]) != 0; i++)
			continue;
		r = msg_send_LOAD_OLD_MAP(
		    bpfd, p->id, &map, dup(from->maps[i]));
	}
	if (r < 0)
		errx(2, "send old");
}

static int
object_memfd(const char *path, bool sealed)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *bytes = NULL;
	struct stat st;
	int out_fd;

	if (fd == -1 || fstat(fd, &st) == -1)
		err(2, "%s", path);
	bytes = malloc((size_t)st.st_size);
	if (bytes == NULL || read(fd, bytes, (size_t)st.st_size) != st.st_size)
		err(2, "%s", path);
	if (sealed)
		return memfd_from_bytes("it", bytes, (size_t)st.st_size);
	out_fd = memfd_create_buffer("it");
	if (write(out_fd, bytes, (size_t)st.st_size) != st.st_size)
		err(2, "memfd");
	return out_fd;
}

static const char *
do_start(uint64_t id, const char *path, const char *args)
{
	struct bpf_object_open_opts opts = { .sz = sizeof(opts),
		.object_name = "it" };
	struct plan_maker p = { .id = id, .h = get(id) };
	struct msg_load_object object = { 0 };
	struct msg_load_plan plan = { 0 };
	struct msg_load_start start = { 0 };
	uint32_t i = 0;
	struct bpf_program *prog;
	bool attaches = strstr(args, "attach=") != NULL;

	held_clear(p.h);
	p.h->used = true;
	p.bpf = bpf_object__open_file(path, &opts);
	if (p.bpf == NULL)
		return "cannot open the object";
	p.b = loadplan_builder_new();
	str_copy_cut(p.args, sizeof(p.args), args);
	describe_object(&p);
	if (!attaches)
		bpf_object__for_each_program (prog, p.bpf)
			loadplan_builder_prog(p.b, i++)->autoload = 1;
	each_key(&p, add_key);
	p.h->plan = loadplan_finish(p.b);
	(void)snprintf(
	    object.artifact_id, sizeof(object.artifact_id), "artifact-%lu", id);
	memcpy(plan.artifact_id, object.artifact_id, sizeof(plan.artifact_id));
	if (bpfd == NULL ||
	    msg_send_LOAD_OBJECT(bpfd, id, &object,
		object_memfd(path, strstr(args, "unsealed=") == NULL)) < 0 ||
	    msg_send_LOAD_PLAN(bpfd, id, &plan, dup(p.h->plan)) < 0)
		return "bpfd is gone";
	old_links = 0;
	each_key(&p, send_old);
	start.old_links = old_links;
	if (msg_send_LOAD_START(bpfd, id, &start) < 0)
		return "bpfd is gone";
	loadplan_builder_free(p.b);
	bpf_object__close(p.bpf);
	return NULL;
}

/* ---- the rest ---- */

static const char *
do_forget(uint64_t id)
{
	struct msg_bpf_forget forget = { { 0 } };

	return msg_send_BPF_FORGET(bpfd, id, &forget) < 0 ? "send" : NULL;
}

static const char *
do_sample(void)
{
	struct msg_bpf_sample sample = { .round = 1 };

	sampled = false;
	if (msg_send_BPF_SAMPLE(bpfd, 0, &sample) < 0)
		return "send";
	return await(&sampled);
}

static const char *
do_ping(void)
{
	struct msg_worker_ping ping = { .nonce = 1 };
	int64_t start = clock_boot_ns();
	const char *wrong;

	ponged = false;
	if (msg_send_WORKER_PING(bpfd, 0, &ping) < 0)
		return "send";
	wrong = await(&ponged);
	if (wrong == NULL)
		out("pong %ld", (clock_boot_ns() - start) / 1000);
	return wrong;
}

static const char *
do_adopt(uint64_t id)
{
	struct msg_load_plan plan = { .artifact_id = "adopted" };
	struct held *h = get(id);
	int i, r;

	r = msg_send_ADOPT_PLAN(bpfd, id, &plan, dup(h->plan));
	for (i = 0; i < 64 && r == 0; i++)
		if (h->progs[i] >= 0)
			r = msg_send_ADOPT_PROG(
			    bpfd, id, &h->prog_info[i], dup(h->progs[i]));
	for (i = 0; i < 64 && r == 0; i++)
		if (h->maps[i] >= 0)
			r = msg_send_ADOPT_MAP(
			    bpfd, id, &h->map_info[i], dup(h->maps[i]));
	return r < 0 ? "send" : NULL;
}

static const char *
do_command(char *line)
{
	static const bool never = false;
	char *save = NULL, *word[3], *rest;
	const char *wrong;
	uint64_t id = 0;

	word[0] = strtok_r(line, " ", &save);
	word[1] = strtok_r(NULL, " ", &save);
	word[2] = word[1] == NULL ? NULL : strtok_r(NULL, " ", &save);
	rest = word[2] == NULL ? NULL : save;
	if (word[0] == NULL)
		return "empty";
	if (strcmp(word[0], "spawn") == 0)
		return do_spawn(word[1], word[2] == NULL ? "" : word[2]);
	if (bpfd == NULL)
		return "bpfd is gone";
	if (word[1] != NULL)
		id = strtoull(word[1], NULL, 10);
	if (strcmp(word[0], "start") == 0)
		return do_start(id, word[2], rest == NULL ? "" : rest);
	if (strcmp(word[0], "wait") == 0)
		return await(&get(id)->done);
	if (strcmp(word[0], "load") == 0) {
		wrong = do_start(id, word[2], rest == NULL ? "" : rest);
		return wrong != NULL ? wrong : await(&get(id)->done);
	}
	if (strcmp(word[0], "unload") == 0) {
		held_clear(get(id));
		return do_forget(id);
	}
	if (strcmp(word[0], "forget") == 0)
		return do_forget(id);
	if (strcmp(word[0], "sample") == 0)
		return do_sample();
	if (strcmp(word[0], "adopt") == 0)
		return do_adopt(id);
	if (strcmp(word[0], "ping") == 0)
		return do_ping();
	if (strcmp(word[0], "kill") == 0)
		(void)kill(pid, SIGKILL);
	(void)await(&never);
	return NULL;
}

int
main(void)
{
	char line[16384];
	const char *wrong;
	size_t i;

	base = event_base_new();
	for (i = 0; i < MAX_LOADS; i++)
		held_clear(&held[i]);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		wrong = do_command(line);
		if (wrong != NULL)
			out("error %s", wrong);
		else
			out("ok");
	}
	return 0;
}
