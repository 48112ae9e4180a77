/* SPDX-License-Identifier: ISC */
#include "bpfd/attach.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <string.h>

#include "bpfd/attach_probe.h"
#include "bpfd/clsact.h"
#include "bpfd/holder.h"
#include "common/ifpattern.h"

enum bpf_prog_type
attach_prog_type(uint32_t kind)
{
	switch ((enum attach_kind)kind) {
	case ATTACH_XDP:
		return BPF_PROG_TYPE_XDP;
	case ATTACH_TCX_INGRESS:
	case ATTACH_TCX_EGRESS:
		return BPF_PROG_TYPE_SCHED_CLS;
	case ATTACH_CGROUP_SKB_INGRESS:
	case ATTACH_CGROUP_SKB_EGRESS:
		return BPF_PROG_TYPE_CGROUP_SKB;
	case ATTACH_CGROUP_SOCK_CREATE:
	case ATTACH_CGROUP_SOCK_RELEASE:
		return BPF_PROG_TYPE_CGROUP_SOCK;
	case ATTACH_CGROUP_BIND4:
	case ATTACH_CGROUP_BIND6:
	case ATTACH_CGROUP_CONNECT4:
	case ATTACH_CGROUP_CONNECT6:
	case ATTACH_CGROUP_SENDMSG4:
	case ATTACH_CGROUP_SENDMSG6:
	case ATTACH_CGROUP_RECVMSG4:
	case ATTACH_CGROUP_RECVMSG6:
		return BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
	case ATTACH_CGROUP_GETSOCKOPT:
	case ATTACH_CGROUP_SETSOCKOPT:
		return BPF_PROG_TYPE_CGROUP_SOCKOPT;
	case ATTACH_CGROUP_DEVICE:
		return BPF_PROG_TYPE_CGROUP_DEVICE;
	case ATTACH_CGROUP_SYSCTL:
		return BPF_PROG_TYPE_CGROUP_SYSCTL;
	case ATTACH_SOCK_OPS:
		return BPF_PROG_TYPE_SOCK_OPS;
	case ATTACH_LSM:
	case ATTACH_LSM_CGROUP:
		return BPF_PROG_TYPE_LSM;
	case ATTACH_FENTRY:
	case ATTACH_FEXIT:
	case ATTACH_FMOD_RET:
	case ATTACH_TP_BTF:
		return BPF_PROG_TYPE_TRACING;
	case ATTACH_RAW_TP:
		return BPF_PROG_TYPE_RAW_TRACEPOINT;
	case ATTACH_TRACEPOINT:
		return BPF_PROG_TYPE_TRACEPOINT;
	case ATTACH_KPROBE:
	case ATTACH_KRETPROBE:
	case ATTACH_KPROBE_MULTI:
	case ATTACH_KRETPROBE_MULTI:
	case ATTACH_UPROBE:
	case ATTACH_URETPROBE:
		return BPF_PROG_TYPE_KPROBE;
	case ATTACH_PERF_EVENT:
		return BPF_PROG_TYPE_PERF_EVENT;
	case ATTACH_SK_LOOKUP:
		return BPF_PROG_TYPE_SK_LOOKUP;
	case ATTACH_NETFILTER:
		return (enum bpf_prog_type)32; /* BPF_PROG_TYPE_NETFILTER */
	case ATTACH_KIND_MAX:
		break;
	}
	return BPF_PROG_TYPE_UNSPEC;
}

enum bpf_attach_type
attach_expected_type(uint32_t kind)
{
	/* A tc program says only at its link which way it looks. */
	if (kind == ATTACH_TCX_INGRESS || kind == ATTACH_TCX_EGRESS)
		return (enum bpf_attach_type)0;
	if (attach_row(kind)->method == METHOD_PERF)
		return (enum bpf_attach_type)0;
	return (enum bpf_attach_type)attach_row(kind)->bpf_attach_type;
}

/* The lacking thing in words, or NULL. */
static const char *
lacks(uint32_t kind, const struct kernel *k)
{
	const struct attach_row *row = attach_row(kind);

	if (row->method == METHOD_LINK_CGROUP && k->cgroup_fd < 0)
		return "this host has no cgroup2 file system mounted";
	if ((row->method == METHOD_LINK_TRACING || kind == ATTACH_LSM_CGROUP) &&
	    !k->has_btf)
		return "this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)";
	if ((kind == ATTACH_LSM || kind == ATTACH_LSM_CGROUP) && k->lsm_known &&
	    !k->lsm_bpf)
		return "this kernel was booted without bpf in its lsm= list";
	return attach_probe_lacks(kind, k);
}

const char *
attach_refusal_hint(
    const struct loadplan *plan, const char *program, const struct kernel *k)
{
	uint32_t i;

	if (k->lockdown)
		return "it is in lockdown (confidentiality), which forbids "
		       "programs that read kernel memory";
	for (i = 0; i < plan->header->attach_count; i++) {
		if (strcmp(plan->progs[plan->attaches[i].prog].name, program) !=
		    0)
			continue;
		switch (plan->attaches[i].kind) {
		case ATTACH_LSM:
		case ATTACH_LSM_CGROUP:
			return "it is built without BPF LSM, or in lockdown";
		case ATTACH_FENTRY:
		case ATTACH_FEXIT:
		case ATTACH_FMOD_RET:
		case ATTACH_TP_BTF:
			return "it is built without BPF tracing, or in "
			       "lockdown";
		default:
			break;
		}
	}
	return "bpfd's capabilities (BPF, PERFMON, NET_ADMIN) do not suffice "
	       "for it, or a security module forbids it";
}

int
attach_find_interface(
    const struct loadplan_attach *a, const struct kernel *k, struct failure *f)
{
	int ifindex = kernel_interface(k, a->target);

	if (ifindex >= 0)
		return ifindex;
	if (ifindex == -ENODEV)
		return failure_set(f, WORK_TRANSIENT, ifindex,
		    "%s: interface \"%s\" does not exist",
		    attach_row(a->kind)->name, a->target);
	return failure_set(f,
	    ifindex == -EINVAL ? WORK_REFUSED : WORK_TRANSIENT, ifindex,
	    "%s: interface \"%s\" cannot be found (%s)",
	    attach_row(a->kind)->name, a->target, strerror(-ifindex));
}

/* The cgroup's directory, owned, or -errno with the reason in F. */
static int
find_cgroup(
    const struct loadplan_attach *a, const struct kernel *k, struct failure *f)
{
	const struct attach_row *row = attach_row(a->kind);
	int dir = kernel_open_cgroup(k, a->target);

	if (dir >= 0)
		return dir;
	if (dir == -ENOENT)
		return failure_set(f, WORK_TRANSIENT, dir,
		    "%s: cgroup \"%s\" does not exist below \"%s\"", row->name,
		    a->target, k->cgroup_root);
	return failure_set(f, failure_kind(dir), dir,
	    "%s: cgroup \"%s\" is not a directory below \"%s\" reached without "
	    "links or \"..\" (%s)",
	    row->name, a->target, k->cgroup_root, strerror(-dir));
}

int
attach_check(
    const struct loadplan *plan, const struct kernel *k, struct failure *f)
{
	const struct loadplan_attach *a;
	const struct attach_row *row;
	_cleanup_fd_ int dir = -1;
	const char *what;
	uint32_t i;
	int r = 0;

	for (i = 0; i < plan->header->attach_count && r >= 0; i++) {
		a = &plan->attaches[i];
		row = attach_row(a->kind);
		what = lacks(a->kind, k);
		if (what == NULL && clsact_is_meant(a, k))
			what = clsact_lacks(k);
		if (what != NULL)
			return failure_set(f, WORK_REFUSED, -EOPNOTSUPP,
			    "%s: %s", row->name, what);
		if (row->method == METHOD_LINK_IFINDEX) {
			/* A pattern may mean none, yet. */
			if (!ifpattern_is_glob(a->target))
				r = attach_find_interface(a, k, f);
		} else if (row->method == METHOD_LINK_CGROUP) {
			fd_close(&dir);
			dir = r = find_cgroup(a, k, f);
		}
	}
	return r < 0 ? r : 0;
}

static int
link_ifindex(const struct loadplan_attach *a, const struct place *place,
    int prog_fd, const struct kernel *k, struct failure *f)
{
	const struct attach_row *row = attach_row(a->kind);
	struct bpf_link_create_opts opts = { .sz = sizeof(opts) };
	int fd, r;

	if (a->flags & LOADPLAN_XDP_SKB)
		opts.flags = XDP_FLAGS_SKB_MODE;
	else if (a->flags & LOADPLAN_XDP_DRV)
		opts.flags = XDP_FLAGS_DRV_MODE;
	fd = bpf_link_create(prog_fd, (int)place->ifindex,
	    (enum bpf_attach_type)row->bpf_attach_type, &opts);
	if (fd >= 0)
		return fd;
	r = -errno;
	if (r == -EBUSY || (r == -EEXIST && a->kind == ATTACH_XDP)) {
		f->holder_id = holder_of_xdp(k, place->ifindex);
		return failure_set(f, WORK_TRANSIENT, r,
		    "%s: another XDP program is attached to \"%s\" already",
		    row->name, place->interface);
	}
	if (r == -EOPNOTSUPP && opts.flags == XDP_FLAGS_DRV_MODE)
		return failure_set(f, WORK_REFUSED, r,
		    "%s: the driver of \"%s\" has no native XDP: mode "
		    "\"generic\" or \"auto\" works",
		    row->name, place->interface);
	return failure_set(f, failure_kind(r), r,
	    "%s: cannot attach to interface \"%s\": %s", row->name,
	    place->interface, strerror(-r));
}

static int
link_cgroup(const struct loadplan_attach *a, int prog_fd,
    const struct kernel *k, struct failure *f)
{
	const struct attach_row *row = attach_row(a->kind);
	_cleanup_fd_ int dir = -1;
	int fd, r;

	dir = find_cgroup(a, k, f);
	if (dir < 0)
		return dir;
	fd = bpf_link_create(
	    prog_fd, dir, (enum bpf_attach_type)row->bpf_attach_type, NULL);
	if (fd >= 0)
		return fd;
	r = -errno;
	if (r == -EPERM)
		f->holder_id = holder_of_hook(dir, row->bpf_attach_type, true);
	return failure_set(f, failure_kind(r), r,
	    r == -EPERM
		? "%s: cannot attach to cgroup \"%s\": a program without "
		  "BPF_F_ALLOW_MULTI is attached there or above (%s)"
		: "%s: cannot attach to cgroup \"%s\": %s",
	    row->name, a->target, strerror(-r));
}

static int
link_tracing(const struct loadplan_attach *a, int prog_fd, struct failure *f)
{
	const struct attach_row *row = attach_row(a->kind);
	int fd, r;

	fd = bpf_link_create(
	    prog_fd, 0, (enum bpf_attach_type)row->bpf_attach_type, NULL);
	if (fd >= 0)
		return fd;
	r = -errno;
	return failure_set(f, failure_kind(r), r, "%s: cannot attach to %s: %s",
	    row->name, a->target, strerror(-r));
}

static int
link_raw_tracepoint(
    const struct loadplan_attach *a, int prog_fd, struct failure *f)
{
	int fd, r;

	fd = bpf_raw_tracepoint_open(a->target, prog_fd);
	if (fd >= 0)
		return fd;
	r = -errno;
	return failure_set(f, failure_kind(r), r,
	    r == -ENOENT ? "raw_tp: this kernel has no tracepoint \"%s\" (%s)"
			 : "raw_tp: cannot attach to tracepoint \"%s\": %s",
	    a->target, strerror(-r));
}

int
attach_create(const struct loadplan *plan, uint32_t index,
    const struct place *place, int prog_fd, const struct kernel *k, bool beside,
    struct failure *f)
{
	const struct loadplan_attach *a = &plan->attaches[index];

	switch (attach_row(a->kind)->method) {
	case METHOD_LINK_IFINDEX:
		return link_ifindex(a, place, prog_fd, k, f);
	case METHOD_LINK_CGROUP:
		return link_cgroup(a, prog_fd, k, f);
	case METHOD_LINK_TRACING:
		return link_tracing(a, prog_fd, f);
	case METHOD_RAW_TRACEPOINT:
		return link_raw_tracepoint(a, prog_fd, f);
	default:
		return attach_probe_create(plan, index, prog_fd, beside, k, f);
	}
}

int
attach_link_info(int link_fd, uint32_t *link_id, uint32_t *prog_id)
{
	struct bpf_link_info info = { 0 };
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(link_fd, &info, &len) < 0)
		return -errno;
	*link_id = info.id;
	*prog_id = info.prog_id;
	return 0;
}

bool
attach_link_is_dead(int link_fd)
{
	struct bpf_link_info info = { 0 };
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(link_fd, &info, &len) < 0)
		return true;
	switch ((int)info.type) {
	case BPF_LINK_TYPE_XDP:
		return info.xdp.ifindex == 0;
	case BPF_LINK_TYPE_CGROUP:
		return info.cgroup.cgroup_id == 0;
	case BPF_LINK_TYPE_NETNS:
		return info.netns.netns_ino == 0;
	case 11 /* BPF_LINK_TYPE_TCX: newer than these headers; its first
		 * word is the interface, as XDP's */
	    :
		return info.xdp.ifindex == 0;
	default:
		return false;
	}
}
