/* SPDX-License-Identifier: ISC */
#include "bpfd/attach_probe.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "bpfd/attach.h"
#include "bpfd/holder.h"
#include "common/attach_target.h"

#define PERF_EVENTS_MAX 8192

const char *
attach_probe_lacks(uint32_t kind, const struct kernel *k)
{
	switch (attach_row(kind)->method) {
	case METHOD_KPROBE_MULTI:
		if (k->release < KERNEL_RELEASE(5, 18))
			return "it came with Linux 5.18";
		if (!k->has_kprobe_multi)
			return "this kernel is built without fprobe "
			       "(CONFIG_FPROBE)";
		return NULL;
	case METHOD_LINK_NETFILTER:
		if (k->has_netfilter)
			return NULL;
		return k->release < KERNEL_RELEASE(6, 4)
		    ? "it came with Linux 6.4"
		    : "this kernel is built without it "
		      "(CONFIG_NETFILTER_BPF_LINK)";
	case METHOD_LINK_NETNS:
		return k->netns_fd < 0 ? "/proc/self/ns/net could not be opened"
				       : NULL;
	default:
		return NULL;
	}
}

/* Symbols by name: patterns would need addresses, and those CAP_SYSLOG. */
static int
link_kprobes(const struct loadplan *plan, const struct loadplan_attach *a,
    int prog_fd, struct failure *f)
{
	const char *list = (const char *)plan->data + a->symbols_off;
	struct bpf_link_create_opts opts = { .sz = sizeof(opts) };
	_cleanup_free_ const char **symbols = NULL;
	uint32_t at, n = 0;
	int fd, r;

	symbols = calloc(a->symbols_len, sizeof(*symbols));
	if (symbols == NULL)
		return failure_set(f, WORK_TRANSIENT, -ENOMEM, "out of memory");
	for (at = 0; at < a->symbols_len; at += (uint32_t)strlen(list + at) + 1)
		symbols[n++] = list + at;
	opts.kprobe_multi.syms = symbols;
	opts.kprobe_multi.cnt = n;
	if (a->kind == ATTACH_KRETPROBE_MULTI)
		opts.kprobe_multi.flags = BPF_F_KPROBE_MULTI_RETURN;
	fd = bpf_link_create(prog_fd, 0, BPF_TRACE_KPROBE_MULTI, &opts);
	if (fd >= 0)
		return fd;
	r = -errno;
	return failure_set(f, failure_kind(r), r,
	    r == -ESRCH || r == -ENOENT
		? "%s: this kernel has no function of one of these names, or "
		  "does not let it be traced: %s (%s)"
		: "%s: cannot attach to %s: %s",
	    attach_row(a->kind)->name, a->target, strerror(-r));
}

static int
link_netns(const struct loadplan_attach *a, int prog_fd, const struct kernel *k,
    struct failure *f)
{
	const struct attach_row *row = attach_row(a->kind);
	int fd, r;

	fd = bpf_link_create(prog_fd, k->netns_fd,
	    (enum bpf_attach_type)row->bpf_attach_type, NULL);
	if (fd >= 0)
		return fd;
	r = -errno;
	if (r == -EEXIST)
		f->holder_id =
		    holder_of_hook(k->netns_fd, row->bpf_attach_type, false);
	return failure_set(f, failure_kind(r), r,
	    r == -EEXIST
		? "%s: a program that is not in a link has the network "
		  "namespace to itself (%s)"
		: "%s: cannot attach to the network namespace: %s",
	    row->name, strerror(-r));
}

/* BPF_LINK_CREATE for netfilter: newer than the headers we build with. */
static int
create_netfilter(int prog_fd, uint32_t family, uint32_t hook, int32_t priority)
{
	const struct {
		uint32_t prog_fd;
		uint32_t target_fd;
		uint32_t attach_type;
		uint32_t flags;
		uint32_t family;
		uint32_t hook;
		int32_t priority;
		uint32_t hook_flags;
	} attr = {
		.prog_fd = (uint32_t)prog_fd,
		.attach_type = attach_row(ATTACH_NETFILTER)->bpf_attach_type,
		.family = family,
		.hook = hook,
		.priority = priority,
	};
	long fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));

	return fd == -1 ? -errno : (int)fd; /* CLOEXEC, as all links are */
}

static int
link_netfilter(const struct loadplan_attach *a, int prog_fd, bool beside,
    const struct kernel *k, struct failure *f)
{
	uint32_t family, hook;
	int fd;

	fd = target_find_hook(a->target, &family, &hook);
	if (fd == 0)
		fd = create_netfilter(prog_fd, family, hook, a->priority);
	/*
	 * No two programs at one priority, and no LINK_UPDATE: a new version
	 * goes right behind the old one, and the next one after it back to the
	 * place that it finds free, so that there is never a gap.
	 */
	if (fd == -EBUSY && beside)
		fd = create_netfilter(prog_fd, family, hook, a->priority + 1);
	if (fd >= 0)
		return fd;
	if (fd == -EBUSY) {
		f->holder_id =
		    holder_of_netfilter(k, family, hook, a->priority);
		return failure_set(f, WORK_TRANSIENT, fd,
		    "netfilter: another program has priority %d at \"%s\" "
		    "already",
		    a->priority, a->target);
	}
	return failure_set(f, failure_kind(fd), fd,
	    fd == -EAFNOSUPPORT
		? "netfilter: cannot attach to \"%s\": this kernel is built "
		  "without that family (%s)"
		: "netfilter: cannot attach to \"%s\": %s",
	    a->target, strerror(-fd));
}

int
attach_probe_create(const struct loadplan *plan, uint32_t index, int prog_fd,
    bool beside, const struct kernel *k, struct failure *f)
{
	const struct loadplan_attach *a = &plan->attaches[index];

	switch (attach_row(a->kind)->method) {
	case METHOD_KPROBE_MULTI:
		return link_kprobes(plan, a, prog_fd, f);
	case METHOD_LINK_NETNS:
		return link_netns(a, prog_fd, k, f);
	case METHOD_LINK_NETFILTER:
		return link_netfilter(a, prog_fd, beside, k, f);
	default:
		return failure_set(f, WORK_REFUSED, -EINVAL,
		    "attachment %u: this agent has no way of attaching it",
		    index);
	}
}

/* ---- perf events ---- */

int
attach_perf_add(struct load *l, uint32_t attach, uint32_t cpu, int fd)
{
	_cleanup_fd_ int owned = fd;
	struct load_perf *perfs;

	if (l->perf_count >= PERF_EVENTS_MAX)
		return -E2BIG;
	perfs = reallocarray(l->perfs, l->perf_count + 1, sizeof(*perfs));
	if (perfs == NULL)
		return -ENOMEM;
	l->perfs = perfs;
	perfs[l->perf_count++] = (struct load_perf){
		.attach = attach,
		.cpu = cpu,
		.event_fd = fd_steal(&owned),
		.link_fd = -1,
	};
	return 0;
}

bool
attach_perf_is_complete(const struct load *l)
{
	const struct loadplan *plan = &l->artifact->plan;
	bool has[LOADPLAN_MAX_ATTACHES] = { false };
	uint32_t i;

	for (i = 0; i < l->perf_count; i++) {
		if (l->perfs[i].attach >= plan->header->attach_count)
			return false;
		has[l->perfs[i].attach] = true;
	}
	for (i = 0; i < plan->header->attach_count; i++)
		if (has[i] !=
		    (attach_row(plan->attaches[i].kind)->method == METHOD_PERF))
			return false;
	return true;
}

int
attach_perf_create(struct load *l)
{
	const struct loadplan *plan = &l->artifact->plan;
	const struct loadplan_attach *a;
	struct load_perf *perf;
	uint32_t i, prog_id;
	int r;

	for (i = 0; i < l->perf_count; i++) {
		perf = &l->perfs[i];
		a = &plan->attaches[perf->attach];
		perf->link_fd = bpf_link_create(l->artifact->progs[a->prog].fd,
		    perf->event_fd, BPF_PERF_EVENT, NULL);
		r = perf->link_fd < 0 ? -errno : 0;
		/* The link holds the event: nobody else needs to. */
		fd_close(&perf->event_fd);
		if (r == 0)
			r = attach_link_info(
			    perf->link_fd, &perf->link_id, &prog_id);
		if (r < 0)
			return failure_set(&l->failure, failure_kind(r), r,
			    r == -EINVAL
				? "%s: cannot attach to \"%s\": the program "
				  "asks for what this event has not (%s)"
				: "%s: cannot attach to \"%s\": %s",
			    attach_row(a->kind)->name, a->target, strerror(-r));
	}
	return 0;
}

void
attach_perf_release(struct load *l)
{
	uint32_t i;

	for (i = 0; i < l->perf_count; i++) {
		fd_close(&l->perfs[i].event_fd);
		fd_close(&l->perfs[i].link_fd);
	}
	free(l->perfs);
	l->perfs = NULL;
	l->perf_count = 0;
}
