/* SPDX-License-Identifier: ISC */
#include "fake_agentd.h"

#include <err.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memfd.h"
#include "common/sandbox.h"
#include "common/strnum.h"

struct fake *
fake(void)
{
	static struct fake one;
	size_t i;

	if (one.base == NULL) {
		one.base = event_base_new();
		for (i = 0; i < nitems(one.held); i++)
			fake_clear(&one.held[i]);
	}
	return &one;
}

struct fake_held *
fake_get(uint64_t id)
{
	if (id == 0 || id >= FAKE_MAX_LOADS)
		errx(2, "id");
	return &fake()->held[id];
}

void
fake_clear(struct fake_held *h)
{
	struct msg_filter_detach detach;
	size_t i;

	for (i = 0; h->used && i < FAKE_MAX_FDS; i++) {
		detach.filter = h->filters[i];
		fake()->detached = false;
		if (detach.filter.handle != 0 && fake()->bpfd != NULL &&
		    msg_send_FILTER_DETACH(fake()->bpfd, 0, &detach) < 0)
			errx(2, "send");
	}
	if (h->used) {
		fd_close(&h->plan);
		for (i = 0; i < FAKE_MAX_FDS; i++) {
			fd_close(&h->progs[i]);
			fd_close(&h->maps[i]);
			fd_close(&h->links[i]);
		}
	}
	memset(h, 0, sizeof(*h));
	h->plan = -1;
	for (i = 0; i < FAKE_MAX_FDS; i++)
		h->progs[i] = h->maps[i] = h->links[i] = -1;
}

_printf_(1, 2) static void out(const char *fmt, ...)
{
	va_list ap;

	if (fake()->quiet)
		return;
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
	fake()->landlock = msg_get_WORKER_READY(m)->landlock_abi;
	fake()->ready = true;
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
	fake()->ponged = true;
	return 0;
}

static int
on_prog(struct imsg *m, void *ctx)
{
	const struct msg_load_prog *msg = msg_get_LOAD_PROG(m);
	struct fake_held *h = fake_get(m->id);

	h->progs[msg->index] = imsg_take_fd(m);
	h->prog_info[msg->index] = *msg;
	out("prog %u %u %02x%02x%02x%02x%02x%02x%02x%02x", msg->index,
	    msg->prog_id, msg->tag[0], msg->tag[1], msg->tag[2], msg->tag[3],
	    msg->tag[4], msg->tag[5], msg->tag[6], msg->tag[7]);
	return 0;
}

static int
on_map(struct imsg *m, void *ctx)
{
	const struct msg_load_map *msg = msg_get_LOAD_MAP(m);
	struct fake_held *h = fake_get(m->id);

	h->maps[msg->index] = imsg_take_fd(m);
	h->map_info[msg->index] = *msg;
	out("map %u %u %s", msg->index, msg->map_id, h->map_names[msg->index]);
	return 0;
}

static int
on_link(struct imsg *m, void *ctx)
{
	const struct msg_load_link *msg = msg_get_LOAD_LINK(m);
	struct fake_held *h = fake_get(m->id);
	uint32_t at = msg->attach;

	/* One a processor: the others go where no attachment is. */
	while (h->links[at] >= 0)
		at = at == msg->attach ? FAKE_MAX_FDS - 1 : at - 1;
	h->links[at] = imsg_take_fd(m);
	h->link_ids[at] = msg->link_id;
	h->ifindexes[at] = msg->ifindex;
	out("link %u %u", msg->attach, msg->link_id);
	return 0;
}

static int
on_filter(struct imsg *m, void *ctx)
{
	const struct msg_load_filter *msg = msg_get_LOAD_FILTER(m);

	fake_get(m->id)->filters[msg->attach] = msg->filter;
	out("filter %u %u %u 0x%x", msg->attach, msg->filter.ifindex,
	    msg->filter.priority, msg->filter.handle);
	return 0;
}

static int
on_detached(struct imsg *m, void *ctx)
{
	const struct msg_filter_detached *msg = msg_get_FILTER_DETACHED(m);

	fake()->detached = msg->result == WORK_OK;
	out("detached %u %s", msg->result, msg->error);
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

	fake_get(m->id)->done = true;
	fake_get(m->id)->result = *msg;
	out("done %u %lu %lu %s", msg->result, msg->load_us, msg->attach_us,
	    msg->error);
	return 0;
}

static int
on_update_done(struct imsg *m, void *ctx)
{
	const struct msg_update_done *msg = msg_get_UPDATE_DONE(m);

	fake()->updated = true;
	out("change %lu %u %u %s", m->id, msg->in_place, msg->mixed,
	    msg->error);
	return 0;
}

static int
on_sampled(struct imsg *m, void *ctx)
{
	const struct msg_bpf_sampled *s = msg_get_BPF_SAMPLED(m);

	fake_get(m->id)->sampled = *s;
	out("sampled %lu %d %lu %lu %lu %ld %ld %ld", m->id, s->result,
	    s->run_count, s->run_time_ns, s->memory_bytes,
	    (long)s->packets_processed, (long)s->violations, (long)s->errors);
	return 0;
}

static int
on_sample_end(struct imsg *m, void *ctx)
{
	fake()->sampled = true;
	return 0;
}

/* It follows them by itself; these tests do not ask. */
static int
on_interfaces(struct imsg *m, void *ctx)
{
	return 0;
}

static const imsg_handler handlers[MSG_TYPE_MAX] = {
	[MSG_INTERFACES] = on_interfaces,
	[MSG_WORKER_READY] = on_ready,
	[MSG_WORKER_LOG] = on_log,
	[MSG_WORKER_PONG] = on_pong,
	[MSG_LOAD_PROG] = on_prog,
	[MSG_LOAD_MAP] = on_map,
	[MSG_LOAD_LINK] = on_link,
	[MSG_LOAD_FILTER] = on_filter,
	[MSG_FILTER_DETACHED] = on_detached,
	[MSG_LOAD_UPDATED] = on_updated,
	[MSG_LOAD_VERIFIER_LOG] = on_verifier_log,
	[MSG_LOAD_DONE] = on_done,
	[MSG_UPDATE_DONE] = on_update_done,
	[MSG_BPF_SAMPLED] = on_sampled,
	[MSG_BPF_SAMPLE_END] = on_sample_end,
};

static void
on_closed(int reason, const char *text, void *ctx)
{
	struct fake *f = fake();
	int status = 0;

	imsg_free(f->bpfd);
	f->bpfd = NULL;
	(void)waitpid(f->pid, &status, 0);
	out("closed %d %s status %d signal %d", reason, text,
	    WIFEXITED(status) ? WEXITSTATUS(status) : -1,
	    WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

const char *
fake_await(const bool *flag)
{
	struct fake *f = fake();

	while (f->bpfd != NULL && !*flag)
		if (event_base_loop(f->base, EVLOOP_ONCE) != 0)
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

const char *
fake_spawn(const char *path, const char *cgroup_root)
{
	struct fake *f = fake();
	struct msg_bpf_config config = { 0 };
	struct msg_config_end end = { .log_level = LOG_LEVEL_DEBUG };
	const char *wrong;
	int sv[2];

	if (imsg_socketpair(sv) < 0)
		return "socketpair";
	f->pid = fork();
	if (f->pid == 0)
		child(path, sv[1]);
	(void)close(sv[1]);
	f->ready = false;
	if (imsg_open(&f->bpfd, f->base, sv[0], PROC_AGENTD, PROC_BPF, handlers,
		on_closed, NULL) < 0)
		return "imsg_open";
	str_copy_cut(
	    config.cgroup_root, sizeof(config.cgroup_root), cgroup_root);
	str_copy_cut(end.host_id, sizeof(end.host_id), "host-test");
	if (msg_send_BPF_CONFIG(f->bpfd, 0, &config) < 0 ||
	    msg_send_CONFIG_END(f->bpfd, 0, &end) < 0)
		return "send";
	wrong = fake_await(&f->ready);
	if (wrong == NULL)
		out("ready %d %d", f->pid, f->landlock);
	return wrong;
}

/* ---- asking it ---- */

const char *
fake_forget(uint64_t id)
{
	struct msg_bpf_forget forget = { { 0 } };

	return msg_send_BPF_FORGET(fake()->bpfd, id, &forget) < 0 ? "send"
								  : NULL;
}

const char *
fake_sample(void)
{
	struct msg_bpf_sample sample = { .round = 1 };

	fake()->sampled = false;
	if (msg_send_BPF_SAMPLE(fake()->bpfd, 0, &sample) < 0)
		return "send";
	return fake_await(&fake()->sampled);
}

const char *
fake_ping(void)
{
	struct msg_worker_ping ping = { .nonce = 1 };
	int64_t start = clock_boot_ns();
	const char *wrong;

	fake()->ponged = false;
	if (msg_send_WORKER_PING(fake()->bpfd, 0, &ping) < 0)
		return "send";
	wrong = fake_await(&fake()->ponged);
	if (wrong == NULL)
		out("pong %ld", (clock_boot_ns() - start) / 1000);
	return wrong;
}

const char *
fake_adopt(uint64_t id)
{
	struct msg_load_plan plan = { .artifact_id = "adopted" };
	struct fake_held *h = fake_get(id);
	int i, r;

	r = msg_send_ADOPT_PLAN(fake()->bpfd, id, &plan, dup(h->plan));
	for (i = 0; i < 64 && r == 0; i++)
		if (h->progs[i] >= 0)
			r = msg_send_ADOPT_PROG(fake()->bpfd, id,
			    &h->prog_info[i], dup(h->progs[i]));
	for (i = 0; i < 64 && r == 0; i++)
		if (h->maps[i] >= 0)
			r = msg_send_ADOPT_MAP(
			    fake()->bpfd, id, &h->map_info[i], dup(h->maps[i]));
	return r < 0 ? "send" : NULL;
}
