/* SPDX-License-Identifier: ISC */
/*
 * bpfd, the loader: a sealed object and its plan come in; link, program and
 * map descriptors go out.  It keeps nothing that matters: what it holds is
 * for sampling, and a new bpfd is handed the same again.
 */
#include "bpfd/bpfd.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>

#include "bpfd/notes.h"
#include "bpfd/queue.h"
#include "bpfd/stats.h"
#include "common/log.h"
#include "common/msg.h"

static int
handle_bpf_config(struct imsg *m, void *ctx)
{
	const struct msg_bpf_config *config = msg_get_BPF_CONFIG(m);
	struct bpfd *b = ctx;

	if (!MSG_TEXT_OK(config->cgroup_root))
		return -EINVAL;
	b->filter_owner = config->filter_owner;
	return str_copy(
	    b->cgroup_root, sizeof(b->cgroup_root), config->cgroup_root);
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
		a->forgotten = true;
		if (!a->updating)
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
	b->kernel.filter_owner = b->filter_owner;
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
	[MSG_LOAD_OLD_FILTER] = handle_load_old_filter,
	[MSG_LOAD_OLD_MAP] = handle_load_old_map,
	[MSG_LOAD_PERF] = handle_load_perf,
	[MSG_LOAD_KEPT_PROG] = handle_load_kept_prog,
	[MSG_LOAD_KEPT_MAP] = handle_load_kept_map,
	[MSG_LOAD_START] = handle_load_start,
	[MSG_ADOPT_PLAN] = handle_adopt_plan,
	[MSG_ADOPT_PROG] = handle_adopt_prog,
	[MSG_ADOPT_MAP] = handle_adopt_map,
	[MSG_UPDATE_PLAN] = handle_update_plan,
	[MSG_LINK_ATTACH] = handle_link_attach,
	[MSG_LINK_RESTORE] = handle_link_restore,
	[MSG_FILTER_DETACH] = handle_filter_detach,
	[MSG_FILTER_CHECK] = handle_filter_check,
	[MSG_FILTERS_KEEP] = handle_filters_keep,
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
		    .tc_fd = -1,
		    .nf_fd = -1,
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
