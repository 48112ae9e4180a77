/* SPDX-License-Identifier: ISC */
/*
 * What unloading costs in agentd's custody, against bare libbpf:
 *
 *	bench_unload KINDS_OBJECT [CGROUP2]
 *
 * Bare is bpf_link__destroy, ours what agentd's closer does with the link (a
 * thread of its own, but for cgroups); both until the kernel shows the link no
 *more.  Looking a link up by id would keep it alive, so ids are walked.  The
 *kernel forgets the id first and detaches then, which bpf_link__destroy waits
 *for, and agentd's event loop does not: "until gone" is the figure that is
 *wanted, and below 1 for that reason. Beside it stands the whole way, detached
 *and with the event loop told, which takes two wake-ups of a thread more than
 *bare libbpf, each of which would wait milliseconds for a processor while
 *others compile: all of this runs at real-time priority.  Medians of 20
 *repeats, taken in turn; programs are loaded once, by libbpf, for both.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <err.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agentd/custody.h"
#include "common/clock.h"
#include "common/strnum.h"
#include "figures.h"

#define LOOPBACK 1 /* its ifindex in every network namespace */

struct bench {
	struct bpf_object *object;
	struct event_base *base;
	struct closer *closer;
	const char *cgroup;
	uint64_t unloaded; /* the cookie that came back last */
};

typedef struct bpf_link *(*attach_fn)(
    const struct bench *b, const struct bpf_program *p);

static struct bpf_link *
attach_raw_tp(const struct bench *b, const struct bpf_program *p)
{
	return bpf_program__attach_raw_tracepoint(p, "sched_switch");
}

static struct bpf_link *
attach_xdp(const struct bench *b, const struct bpf_program *p)
{
	return bpf_program__attach_xdp(p, LOOPBACK);
}

static struct bpf_link *
attach_cgroup(const struct bench *b, const struct bpf_program *p)
{
	_cleanup_fd_ int fd = open(b->cgroup, O_RDONLY | O_CLOEXEC);

	return bpf_program__attach_cgroup(p, fd);
}

static const struct subject {
	const char *kind;
	const char *program;
	enum attach_kind attach_kind;
	attach_fn attach;
} subjects[] = {
	{ "raw_tp", "k_RAW_TP", ATTACH_RAW_TP, attach_raw_tp },
	{ "cgroup", "k_CGROUP_CONNECT4", ATTACH_CGROUP_CONNECT4,
	    attach_cgroup },
	{ "xdp", "k_XDP", ATTACH_XDP, attach_xdp },
};

static struct bpf_link *
attach(const struct bench *b, const struct subject *s, uint32_t *id)
{
	struct bpf_link_info info = { 0 };
	uint32_t size = sizeof(info);
	struct bpf_link *link;

	link = s->attach(
	    b, bpf_object__find_program_by_name(b->object, s->program));
	if (link == NULL)
		err(1, "attach %s", s->program);
	if (bpf_obj_get_info_by_fd(bpf_link__fd(link), &info, &size) < 0)
		err(1, "link of %s", s->program);
	*id = info.id;
	return link;
}

static void
wait_gone(uint32_t id)
{
	const struct timespec pause = { .tv_nsec = 10000 };
	uint32_t next;

	/* Sleeping in between, as an event loop does: the thread is to run. */
	while (bpf_link_get_next_id(id - 1, &next) == 0 && next == id)
		(void)nanosleep(&pause, NULL);
}

static int64_t
bare(const struct bench *b, const struct subject *s)
{
	uint32_t id;
	struct bpf_link *link = attach(b, s, &id);
	int64_t start = clock_boot_ns();

	(void)bpf_link__destroy(link);
	wait_gone(id);
	return clock_boot_ns() - start;
}

static void
handle_unloaded(uint64_t cookie, void *ctx)
{
	struct bench *b = ctx;

	b->unloaded = cookie;
}

/* What agentd knows of an artifact with this one attachment. */
static void
plan_for(struct custody *c, const struct subject *s)
{
	struct loadplan_attach attach = { .kind = s->attach_kind };
	struct loadplan_prog prog = { .name = "p", .autoload = 1 };
	struct loadplan_builder *b = loadplan_builder_new();
	struct loadplan_header *h;
	const char *what = "out of memory";

	if (b == NULL ||
	    str_copy(attach.target, sizeof(attach.target), "x") < 0)
		errx(1, "%s", what);
	h = loadplan_builder_header(b);
	str_copy_cut(h->object_name, sizeof(h->object_name), "bench");
	str_copy_cut(h->name, sizeof(h->name), "bench");
	str_copy_cut(h->artifact_version, sizeof(h->artifact_version), "1.0.0");
	h->limits = (struct loadplan_limits){ -1, -1, -1, -1, -1 };
	if (loadplan_add_prog(b, &prog) < 0 ||
	    loadplan_add_attach(b, &attach) < 0 ||
	    custody_set_plan(c, loadplan_finish(b), &what) < 0)
		errx(1, "plan: %s", what);
	loadplan_builder_free(b);
}

/* *GONE: until the kernel shows it no more; *TOLD: until agentd knows. */
static void
by_agentd(
    struct bench *b, const struct subject *s, int64_t *gone, int64_t *told)
{
	uint32_t id;
	struct bpf_link *link = attach(b, s, &id);
	struct custody *c = custody_new();
	int64_t start;
	int fd;

	fd = fcntl(bpf_link__fd(link), F_DUPFD_CLOEXEC, 3);
	(void)bpf_link__destroy(link);
	if (fd == -1 || custody_add_link(c, 0, 0, "", fd, id) < 0)
		errx(1, "no custody of a link");
	plan_for(c, s);
	start = clock_boot_ns();
	closer_detach(b->closer, c, id);
	wait_gone(id);
	*gone = clock_boot_ns() - start;
	while (b->unloaded != id)
		if (event_base_loop(b->base, EVLOOP_ONCE) != 0)
			errx(1, "the event loop ended");
	*told = clock_boot_ns() - start;
	custody_free(c, b->closer);
}

static void
measure(struct bench *b, const struct subject *s)
{
	int64_t bare_ns[REPEATS], gone_ns[REPEATS], told_ns[REPEATS];
	double bare_ms;
	int i;

	for (i = 0; i < REPEATS; i++) {
		bare_ns[i] = bare(b, s);
		by_agentd(b, s, &gone_ns[i], &told_ns[i]);
	}
	bare_ms = figures_median_ms(bare_ns);
	figures_print_ratio(s->kind, "unload, until gone:", "libbpf", bare_ms,
	    "agent", figures_median_ms(gone_ns));
	figures_print_ratio(s->kind, "  until agentd knows:", "libbpf", bare_ms,
	    "agent", figures_median_ms(told_ns));
}

static void
load(struct bench *b, const char *path)
{
	const char *name;
	struct bpf_program *p;
	size_t i;

	b->object = bpf_object__open_file(path, NULL);
	if (b->object == NULL)
		errx(1, "%s", path);
	bpf_object__for_each_program (p, b->object) {
		name = bpf_program__name(p);
		bpf_program__set_autoload(p, false);
		for (i = 0; i < nitems(subjects); i++)
			if (strcmp(subjects[i].program, name) == 0)
				bpf_program__set_autoload(p, true);
	}
	if (bpf_object__load(b->object) < 0)
		errx(1, "%s: libbpf cannot load it", path);
}

int
main(int argc, char **argv)
{
	const struct sched_param realtime = { .sched_priority = 10 };
	struct bench b = { .cgroup = "/sys/fs/cgroup" };
	size_t i;

	if (argc != 2 && argc != 3)
		errx(64, "usage: bench_unload KINDS_OBJECT [CGROUP2]");
	if (argc == 3)
		b.cgroup = argv[2];
	/* Whatever comes over the machine's own loopback is none of ours. */
	if (unshare(CLONE_NEWNET) == -1)
		err(1, "unshare");
	if (sched_setscheduler(0, SCHED_FIFO, &realtime) == -1)
		warn("no real-time priority: a busy machine shows");
	load(&b, argv[1]);
	b.base = event_base_new();
	if (b.base == NULL ||
	    closer_new(&b.closer, b.base, handle_unloaded, &b) < 0)
		errx(1, "cannot start the closer thread");
	for (i = 0; i < nitems(subjects); i++)
		measure(&b, &subjects[i]);
	closer_free(b.closer);
	event_base_free(b.base);
	bpf_object__close(b.object);
	return 0;
}
