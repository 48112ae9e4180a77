/* SPDX-License-Identifier: ISC */
/*
 * bpfd, the loader: a sealed object and its plan come in; link, program and
 * map descriptors go out.  It keeps nothing that matters: what it holds is
 * for sampling, and a new bpfd is handed the same again.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <string.h>

#include "bpfd/artifact.h"
#include "bpfd/attach.h"
#include "bpfd/attach_probe.h"
#include "bpfd/kernel.h"
#include "bpfd/load.h"
#include "bpfd/netdev.h"
#include "bpfd/notes.h"
#include "bpfd/place.h"
#include "bpfd/queue.h"
#include "bpfd/reply.h"
#include "bpfd/stats.h"
#include "common/ifpattern.h"
#include "common/log.h"
#include "common/msg.h"
#include "common/worker.h"

struct bpfd {
	struct worker worker;
	struct kernel kernel;
	struct queue *queue;
	struct netdev netdev; /* which interfaces there are */
	struct event *netdev_event;
	struct artifact_list artifacts; /* loaded or adopted */
	struct load_list loads;         /* on their way */
	char cgroup_root[AEGIS_PATH_SIZE];
};

static int
handle_bpf_config(struct imsg *m, void *ctx)
{
	const struct msg_bpf_config *config = msg_get_BPF_CONFIG(m);
	struct bpfd *b = ctx;

	if (!MSG_TEXT_OK(config->cgroup_root))
		return -EINVAL;
	return str_copy(
	    b->cgroup_root, sizeof(b->cgroup_root), config->cgroup_root);
}

/* ---- loading ---- */

/* The load of that handle, begun if need be; NULL: it is beyond that. */
static struct load *
get_load(struct bpfd *b, uint64_t id, const char *artifact_id)
{
	struct artifact *a;
	struct load *l;

	l = load_find(&b->loads, id);
	if (l != NULL)
		return l->started ? NULL : l;
	if (artifact_find(&b->artifacts, id) != NULL)
		return NULL;
	a = artifact_new(id, artifact_id);
	l = a == NULL ? NULL : load_new(a);
	if (l == NULL)
		return NULL;
	TAILQ_INSERT_TAIL(&b->loads, l, pending);
	return l;
}

static int
handle_load_object(struct imsg *m, void *ctx)
{
	const struct msg_load_object *msg = msg_get_LOAD_OBJECT(m);
	struct load *l;
	int r;

	if (!MSG_ID_OK(msg->artifact_id))
		return -EINVAL;
	l = get_load(ctx, m->id, msg->artifact_id);
	if (l == NULL || l->elf.data != NULL)
		return -EEXIST;
	r = memfd_map(m->fd, AEGIS_EXTRACTED_MAX, &l->elf);
	if (r == 0 && l->elf.len == 0)
		r = -ENODATA;
	if (r < 0)
		(void)failure_set(&l->failure, WORK_REFUSED, r, "program.o: %s",
		    r == -EPERM         ? "not a sealed memfd"
			: r == -ENODATA ? "it is empty"
					: strerror(-r));
	return 0;
}

static int
handle_load_plan(struct imsg *m, void *ctx)
{
	const struct msg_load_plan *msg = msg_get_LOAD_PLAN(m);
	const char *what;
	struct load *l;
	int r;

	if (!MSG_ID_OK(msg->artifact_id))
		return -EINVAL;
	l = get_load(ctx, m->id, msg->artifact_id);
	if (l == NULL)
		return -EEXIST;
	r = artifact_set_plan(l->artifact, m->fd, &what);
	if (r == -EALREADY)
		return r;
	if (r < 0)
		(void)failure_set(
		    &l->failure, WORK_REFUSED, r, "plan: %s", what);
	return 0;
}

static int
handle_load_old_link(struct imsg *m, void *ctx)
{
	const struct msg_load_old_link *msg = msg_get_LOAD_OLD_LINK(m);
	struct bpfd *b = ctx;
	struct load *l = load_find(&b->loads, m->id);
	struct load_link *link;
	uint32_t link_id, prog_id;
	int fd;

	if (l == NULL || l->started || msg->attach >= LOADPLAN_MAX_ATTACHES ||
	    load_find_link(l, msg->attach, msg->ifindex) != NULL)
		return -EINVAL;
	link = load_add_link(l, msg->attach, msg->ifindex);
	if (link == NULL)
		return -EINVAL;
	link->old_fd = imsg_take_fd(m);
	/* Should a later swap fail, this one is undone with its old program. */
	if (attach_link_info(link->old_fd, &link_id, &prog_id) == 0 &&
	    artifact_find_prog(&b->artifacts, prog_id, &fd) != NULL)
		link->old_prog_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return 0;
}

static int
handle_load_old_map(struct imsg *m, void *ctx)
{
	const struct msg_load_map *msg = msg_get_LOAD_OLD_MAP(m);
	struct bpfd *b = ctx;
	struct load *l = load_find(&b->loads, m->id);

	if (l == NULL || l->started || msg->index >= nitems(l->old_maps) ||
	    l->old_maps[msg->index] >= 0)
		return -EINVAL;
	l->old_maps[msg->index] = imsg_take_fd(m);
	return 0;
}

/* It has all its programs and maps, or it must be loaded. */
static bool
is_whole(const struct artifact *a)
{
	uint32_t i;

	for (i = 0; i < a->plan.header->prog_count; i++)
		if (a->plan.progs[i].autoload && a->progs[i].fd < 0)
			return false;
	for (i = 0; i < a->plan.header->map_count; i++)
		if (a->maps[i].fd < 0)
			return false;
	return true;
}

static int
handle_load_kept_prog(struct imsg *m, void *ctx)
{
	const struct msg_load_prog *msg = msg_get_LOAD_KEPT_PROG(m);
	struct bpfd *b = ctx;
	struct load *l = load_find(&b->loads, m->id);

	if (l == NULL || l->started)
		return -EINVAL;
	l->kept = true;
	return artifact_set_prog(l->artifact, msg->index, imsg_take_fd(m));
}

static int
handle_load_kept_map(struct imsg *m, void *ctx)
{
	const struct msg_load_map *msg = msg_get_LOAD_KEPT_MAP(m);
	struct bpfd *b = ctx;
	struct load *l = load_find(&b->loads, m->id);

	if (l == NULL || l->started)
		return -EINVAL;
	l->kept = true;
	return artifact_set_map(l->artifact, msg->index, imsg_take_fd(m));
}

static int
handle_load_perf(struct imsg *m, void *ctx)
{
	const struct msg_load_perf *msg = msg_get_LOAD_PERF(m);
	struct bpfd *b = ctx;
	struct load *l = load_find(&b->loads, m->id);

	if (l == NULL || l->started)
		return -EINVAL;
	return attach_perf_add(l, msg->attach, msg->cpu, imsg_take_fd(m));
}

/* Which hooks of netfilter the one that is replaced has, too. */
static uint64_t
find_beside(struct bpfd *b, const struct load *l, uint64_t predecessor)
{
	const struct artifact *old = artifact_find(&b->artifacts, predecessor);
	const struct loadplan_attach *want, *have;
	uint64_t beside = 0;
	uint32_t i, j;

	for (i = 0; old != NULL && i < l->artifact->plan.header->attach_count;
	     i++) {
		want = &l->artifact->plan.attaches[i];
		for (j = 0; j < old->plan.header->attach_count; j++) {
			have = &old->plan.attaches[j];
			if (want->kind == ATTACH_NETFILTER &&
			    have->kind == ATTACH_NETFILTER &&
			    have->priority == want->priority &&
			    strcmp(have->target, want->target) == 0)
				beside |= UINT64_C(1) << i;
		}
	}
	return beside;
}

static bool
is_there(const struct loadplan_attach *a, const struct place *place,
    const char *target)
{
	if (place->ifindex != 0)
		return ifpattern_matches(a->target, place->interface,
		    strcmp(place->interface, "lo") == 0);
	return strcmp(a->target, target) == 0;
}

/* Name the one that has the hook, where it is one of ours. */
static void
name_holder(struct bpfd *b, struct load *l)
{
	const struct loadplan_attach *want, *have;
	struct artifact *a;
	uint32_t i;

	if (l->busy == NULL)
		return;
	want = &l->artifact->plan.attaches[l->busy->attach];
	TAILQ_FOREACH (a, &b->artifacts, entry) {
		for (i = 0; i < a->plan.header->attach_count; i++) {
			have = &a->plan.attaches[i];
			if (have->kind == want->kind &&
			    have->priority == want->priority &&
			    is_there(have, &l->busy->place, want->target)) {
				failure_add(&l->failure,
				    "it is artifact \"%s\" (%s %s)",
				    a->artifact_id, a->plan.header->name,
				    a->plan.header->artifact_version);
				return;
			}
		}
	}
}

static void
warn_of_empty_maps(const struct load *l)
{
	uint32_t i;

	for (i = 0; i < nitems(l->emptied); i++)
		if (l->emptied[i] && l->failure.result == WORK_OK)
			log_line(LOG_LEVEL_WARN, l->artifact->artifact_id,
			    l->artifact->plan.maps[i].name,
			    "carry_maps: this map starts empty, the version "
			    "before declares it otherwise (type, key, value, "
			    "max_entries or flags)");
}

static void
discard_load(struct job *job)
{
	load_free((struct load *)job);
}

static void
handle_loaded(struct job *job, void *ctx)
{
	struct load *l = (struct load *)job;
	struct bpfd *b = ctx;
	int r;

	TAILQ_REMOVE(&b->loads, l, pending);
	if (l->forgotten) {
		load_free(l);
		return;
	}
	name_holder(b, l);
	warn_of_empty_maps(l);
	r = reply_send(b->worker.agentd, l);
	if (r < 0 && r != -EPIPE) {
		log_line(LOG_LEVEL_ERROR, l->artifact->artifact_id,
		    strerror(-r), "cannot hand the result to agentd");
		worker_fail(&b->worker);
	}
	if (r == 0 && l->failure.result == WORK_OK) {
		TAILQ_INSERT_TAIL(&b->artifacts, l->artifact, entry);
		l->artifact = NULL;
	}
	load_free(l);
}

static int
handle_load_start(struct imsg *m, void *ctx)
{
	const struct msg_load_start *msg = msg_get_LOAD_START(m);
	struct bpfd *b = ctx;
	struct load *l = load_find(&b->loads, m->id);
	size_t i;

	if (l == NULL || l->started || msg->attach_nothing > 1 ||
	    msg->old_links != l->link_count ||
	    msg->perf_events != l->perf_count ||
	    (msg->attach_nothing && l->link_count > 0))
		return -EINVAL;
	if (l->failure.result == WORK_OK) {
		if (l->elf.data == NULL || l->artifact->plan.header == NULL)
			return -EINVAL;
		if (l->kept && !is_whole(l->artifact))
			return -EINVAL;
		for (i = 0; i < l->link_count; i++)
			if (l->links[i].attach >=
			    l->artifact->plan.header->attach_count)
				return -EINVAL;
		if (!msg->attach_nothing && !attach_perf_is_complete(l))
			return -EINVAL;
		l->beside = find_beside(b, l, msg->predecessor);
	}
	l->attach_nothing = msg->attach_nothing != 0;
	l->started = true;
	l->job.done = handle_loaded;
	l->job.discard = discard_load;
	queue_put(b->queue, &l->job);
	return 0;
}

/* ---- places that come, and come back ---- */

static void
discard_place(struct job *job)
{
	place_job_free((struct place_job *)job);
}

static void
handle_placed(struct job *job, void *ctx)
{
	struct place_job *p = (struct place_job *)job;
	struct bpfd *b = ctx;

	/* Forgotten meanwhile: the link goes again. */
	if (artifact_find(&b->artifacts, p->id) != NULL &&
	    msg_send_LINK_ATTACHED(b->worker.agentd, p->id, &p->answer,
		fd_steal(&p->link_fd)) == -ENOBUFS)
		worker_fail(&b->worker);
	place_job_free(p);
}

static int
handle_link_attach(struct imsg *m, void *ctx)
{
	const struct msg_link_attach *msg = msg_get_LINK_ATTACH(m);
	struct bpfd *b = ctx;
	struct artifact *a = artifact_find(&b->artifacts, m->id);
	struct place_job *p;
	int r;

	if (a == NULL)
		return -EINVAL;
	p = place_job_new(a, msg, &r);
	if (p == NULL)
		return r;
	p->job.done = handle_placed;
	p->job.discard = discard_place;
	queue_put(b->queue, &p->job);
	return 0;
}

static void
tell_interfaces(struct bpfd *b)
{
	struct msg_interfaces msg = { .count = (uint32_t)b->netdev.count };
	int fd = memfd_from_bytes("interfaces", b->netdev.list,
	    b->netdev.count * sizeof(*b->netdev.list));

	b->netdev.changed = false;
	if (fd < 0 || msg_send_INTERFACES(b->worker.agentd, 0, &msg, fd) < 0)
		log_warn("agentd cannot be told of the interfaces");
}

static void
handle_netdev(evutil_socket_t fd, short what, void *arg)
{
	struct bpfd *b = arg;
	int r = netdev_read(&b->netdev);

	if (r < 0) {
		log_error("rtnetlink: %s: interfaces cannot be followed",
		    strerror(-r));
		worker_fail(&b->worker);
	}
	/* Half of a list is none. */
	if (b->netdev.changed && !b->netdev.dumping)
		tell_interfaces(b);
}

/* ---- taking over from a bpfd that died ---- */

static int
handle_adopt_plan(struct imsg *m, void *ctx)
{
	const struct msg_load_plan *msg = msg_get_ADOPT_PLAN(m);
	struct bpfd *b = ctx;
	struct artifact *a;
	const char *what;
	int r;

	if (!MSG_ID_OK(msg->artifact_id) ||
	    artifact_find(&b->artifacts, m->id) != NULL ||
	    load_find(&b->loads, m->id) != NULL)
		return -EINVAL;
	a = artifact_new(m->id, msg->artifact_id);
	if (a == NULL)
		return -ENOMEM;
	r = artifact_set_plan(a, m->fd, &what);
	if (r < 0) {
		log_line(LOG_LEVEL_ERROR, msg->artifact_id, what,
		    "the plan of a running artifact is damaged");
		artifact_free(a);
		return r;
	}
	TAILQ_INSERT_TAIL(&b->artifacts, a, entry);
	return 0;
}

static int
handle_adopt_prog(struct imsg *m, void *ctx)
{
	const struct msg_load_prog *msg = msg_get_ADOPT_PROG(m);
	struct bpfd *b = ctx;
	struct artifact *a = artifact_find(&b->artifacts, m->id);
	int r;

	if (a == NULL)
		return -EINVAL;
	r = artifact_set_prog(a, msg->index, imsg_take_fd(m));
	if (r == 0)
		a->progs[msg->index].memory =
		    kernel_fd_memory(&b->kernel, a->progs[msg->index].fd);
	return r;
}

static int
handle_adopt_map(struct imsg *m, void *ctx)
{
	const struct msg_load_map *msg = msg_get_ADOPT_MAP(m);
	struct bpfd *b = ctx;
	struct artifact *a = artifact_find(&b->artifacts, m->id);
	int r;

	if (a == NULL)
		return -EINVAL;
	r = artifact_set_map(a, msg->index, imsg_take_fd(m));
	if (r == 0)
		a->maps[msg->index].memory =
		    kernel_fd_memory(&b->kernel, a->maps[msg->index].fd);
	return r;
}

/* ---- afterwards ---- */

static int
handle_forget(struct imsg *m, void *ctx)
{
	struct bpfd *b = ctx;
	struct artifact *a = artifact_find(&b->artifacts, m->id);
	struct load *l = load_find(&b->loads, m->id);

	if (a != NULL) {
		TAILQ_REMOVE(&b->artifacts, a, entry);
		artifact_free(a);
	} else if (l != NULL && l->started) {
		l->forgotten = true;
	} else if (l != NULL) {
		TAILQ_REMOVE(&b->loads, l, pending);
		load_free(l);
	}
	return 0;
}

static int
handle_sample(struct imsg *m, void *ctx)
{
	const struct msg_bpf_sample *msg = msg_get_BPF_SAMPLE(m);
	struct bpfd *b = ctx;
	struct msg_bpf_sampled out;
	struct artifact *a;
	int r = 0;

	TAILQ_FOREACH (a, &b->artifacts, entry) {
		stats_sample(a, &b->kernel, &out);
		out.round = msg->round;
		r = msg_send_BPF_SAMPLED(b->worker.agentd, a->id, &out);
		if (r < 0)
			break;
	}
	if (r == 0)
		r = msg_send_BPF_SAMPLE_END(b->worker.agentd, 0, msg);
	/* Too far behind to take samples: the next round will tell. */
	return r == -EPIPE || r == -ENOBUFS ? 0 : r;
}

/* ---- life ---- */

static int
start(struct worker *w)
{
	struct bpfd *b = w->ctx;
	int r;

	notes_begin(NULL);
	r = kernel_open(&b->kernel, b->cgroup_root);
	if (r < 0)
		return r;
	r = netdev_open(&b->netdev, true);
	if (r < 0) {
		log_error("rtnetlink: %s", strerror(-r));
		return r;
	}
	if (!b->kernel.has_btf)
		log_warn("this kernel shows no BTF in /sys/kernel/btf/vmlinux: "
			 "CO-RE objects cannot be loaded");
	return 0;
}

static int
run(struct worker *w)
{
	struct bpfd *b = w->ctx;
	int r;

	r = queue_start(&b->queue, w->base, &b->kernel, b);
	if (r < 0)
		return r;
	b->netdev_event = event_new(
	    w->base, b->netdev.fd, EV_READ | EV_PERSIST, handle_netdev, b);
	if (b->netdev_event == NULL || event_add(b->netdev_event, NULL) == -1)
		return -ENOMEM;
	b->netdev.changed = true; /* none at all is an answer, too */
	return netdev_ask(&b->netdev);
}

static void
stop(struct worker *w)
{
	struct bpfd *b = w->ctx;
	struct artifact *a;
	struct load *l;

	while ((l = TAILQ_FIRST(&b->loads)) != NULL) {
		TAILQ_REMOVE(&b->loads, l, pending);
		if (!l->started)
			load_free(l);
	}
	queue_stop(b->queue); /* frees those that are started */
	while ((a = TAILQ_FIRST(&b->artifacts)) != NULL) {
		TAILQ_REMOVE(&b->artifacts, a, entry);
		artifact_free(a);
	}
	if (b->netdev_event != NULL)
		event_free(b->netdev_event);
	netdev_close(&b->netdev);
	kernel_close(&b->kernel);
}

static const imsg_handler handlers[MSG_TYPE_MAX] = {
	[MSG_BPF_CONFIG] = handle_bpf_config,
	[MSG_LOAD_OBJECT] = handle_load_object,
	[MSG_LOAD_PLAN] = handle_load_plan,
	[MSG_LOAD_OLD_LINK] = handle_load_old_link,
	[MSG_LOAD_OLD_MAP] = handle_load_old_map,
	[MSG_LOAD_PERF] = handle_load_perf,
	[MSG_LOAD_KEPT_PROG] = handle_load_kept_prog,
	[MSG_LOAD_KEPT_MAP] = handle_load_kept_map,
	[MSG_LOAD_START] = handle_load_start,
	[MSG_ADOPT_PLAN] = handle_adopt_plan,
	[MSG_ADOPT_PROG] = handle_adopt_prog,
	[MSG_ADOPT_MAP] = handle_adopt_map,
	[MSG_LINK_ATTACH] = handle_link_attach,
	[MSG_BPF_FORGET] = handle_forget,
	[MSG_BPF_SAMPLE] = handle_sample,
};

static const struct worker_ops ops = {
	.handlers = handlers,
	.start = start,
	.run = run,
	.stop = stop,
};

int
main(void)
{
	static struct bpfd b = {
		.kernel = { .netdev_fd = -1,
		    .ioctl_fd = -1,
		    .cgroup_fd = -1,
		    .fdinfo_fd = -1,
		    .netns_fd = -1 },
		.netdev = { .fd = -1 },
	};

	TAILQ_INIT(&b.artifacts);
	TAILQ_INIT(&b.loads);
	return worker_main(&b.worker, PROC_BPF, &ops, &b);
}
