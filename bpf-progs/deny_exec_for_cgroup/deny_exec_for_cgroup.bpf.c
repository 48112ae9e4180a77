// SPDX-License-Identifier: GPL-2.0-only
/*
 * Forbid the start of programs: of all, or of those whose path begins with
 * one of some prefixes, in one cgroup and everything below it, or on the
 * whole host.  A cgroup's id is the inode number of its directory.
 *
 *	"parameters": { "cgroup_id": 4711, "prefixes": {
 *	    "0": { "path": "/tmp/" }, "1": { "path": "/dev/shm/" } } }
 *
 * Neither a cgroup nor a prefix forbids nothing: a slip must not stop a host.
 */
#include <aegis/kernel.h>
#include <aegis/stats.h>
#include <aegis/report.h>

#define MAX_PREFIXES     8
#define PREFIX_SIZE      64
#define PATH_SIZE        512
#define MAX_CGROUP_DEPTH 16

struct prefix {
	char path[PREFIX_SIZE]; /* "" ends the list */
};

struct scratch {
	char path[PATH_SIZE];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_PREFIXES);
	__type(key, __u32);
	__type(value, struct prefix);
} prefixes SEC(".maps");

/* d_path() needs more than the stack has. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} paths SEC(".maps");

/* Parameters. */
const volatile __u64 cgroup_id = 0; /* 0: every process */
const volatile _Bool deny_all = 0;  /* in that cgroup, whatever the path */
const volatile _Bool audit = 0;     /* count and report, but let pass */
const volatile _Bool report = 1;

#define RULE_NUMBER_ALL 0 /* deny_all; prefixes count from 1 */

static __always_inline _Bool
in_cgroup(void)
{
	int level;

	if (cgroup_id == 0 || bpf_get_current_cgroup_id() == cgroup_id)
		return 1;
	for (level = 0; level < MAX_CGROUP_DEPTH; level++) {
		if (bpf_get_current_ancestor_cgroup_id(level) == cgroup_id)
			return 1;
	}
	return 0;
}

static __always_inline _Bool
has_prefix(const char *path, const char *prefix)
{
	__u32 i;

	for (i = 0; i < PREFIX_SIZE; i++) {
		if (prefix[i] == '\0')
			return 1;
		if (path[i] != prefix[i])
			return 0;
	}
	return 1;
}

/* The rule's number, or -1. */
static __always_inline int
match(const char *path)
{
	const struct prefix *p;
	__u32 i, index;

	if (deny_all && cgroup_id != 0)
		return RULE_NUMBER_ALL;
	for (i = 0; i < MAX_PREFIXES; i++) {
		index = i;
		p = bpf_map_lookup_elem(&prefixes, &index);
		if (!p || p->path[0] == '\0')
			break;
		if (has_prefix(path, p->path))
			return i + 1;
	}
	return -1;
}

SEC("lsm/bprm_check_security")
int
BPF_PROG(deny_exec, struct linux_binprm *bprm, int ret)
{
	struct aegis_stats *s = aegis_stats_get();
	struct aegis_event *e;
	struct scratch *buf;
	__u32 zero = 0;
	int rule;

	buf = bpf_map_lookup_elem(&paths, &zero);
	if (ret != 0 || !s || !buf) /* another module denied it already */
		return ret;
	s->packets_processed++;
	if (!in_cgroup())
		return 0;
	/* What is run, not the name that was given for it. */
	if (bpf_d_path(&bprm->file->f_path, buf->path, sizeof(buf->path)) < 0 &&
	    bpf_probe_read_kernel_str(
		buf->path, sizeof(buf->path), bprm->filename) < 0) {
		s->errors++;
		return 0;
	}
	rule = match(buf->path);
	if (rule < 0)
		return 0;
	s->violations++;
	e = report ? aegis_event_begin(AEGIS_EVENT_EXEC,
			 audit ? AEGIS_VERDICT_AUDIT : AEGIS_VERDICT_DENY)
		   : (void *)0;
	if (e) {
		aegis_event_task(e);
		e->rule = rule;
		bpf_probe_read_kernel_str(e->path, sizeof(e->path), buf->path);
		aegis_event_submit(e);
	}
	if (audit)
		return 0;
	s->packets_dropped++;
	return -EPERM;
}

char LICENSE[] SEC("license") = "GPL";
