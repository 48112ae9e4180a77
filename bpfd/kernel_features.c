/* SPDX-License-Identifier: ISC */
/*
 * What is asked of this kernel by trying it, once, at the start.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "bpfd/kernel.h"
#include "common/attach.h"

#define PROG_TYPE_NETFILTER ((enum bpf_prog_type)32) /* Linux 6.4 */

uint32_t
kernel_parse_release(const char *text)
{
	unsigned int major, minor;

	if (sscanf(text, "%3u.%3u", &major, &minor) != 2)
		return 0;
	return KERNEL_RELEASE(major, minor);
}

/* A program that returns 0: owned descriptor or -errno. */
static int
load_nothing(enum bpf_prog_type type, uint32_t expected)
{
	static const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	struct bpf_prog_load_opts opts = {
		.sz = sizeof(opts),
		.expected_attach_type = (enum bpf_attach_type)expected,
	};
	int fd = bpf_prog_load(
	    type, "aegis_probe", "GPL", insns, nitems(insns), &opts);

	return fd < 0 ? -errno : fd;
}

/* Without fprobe, it says so before it looks at the (empty) list. */
static bool
probe_kprobe_multi(void)
{
	struct bpf_link_create_opts opts = { .sz = sizeof(opts) };
	_cleanup_fd_ int prog = -1, link = -1;

	prog = load_nothing(BPF_PROG_TYPE_KPROBE, BPF_TRACE_KPROBE_MULTI);
	if (prog < 0)
		return prog != -EINVAL; /* not known: try */
	link = bpf_link_create(prog, 0, BPF_TRACE_KPROBE_MULTI, &opts);
	return link >= 0 || errno != EOPNOTSUPP;
}

static bool
probe_netfilter(void)
{
	_cleanup_fd_ int prog = load_nothing(
	    PROG_TYPE_NETFILTER, attach_row(ATTACH_NETFILTER)->bpf_attach_type);

	return prog >= 0 || prog != -EINVAL;
}

void
kernel_probe_features(struct kernel *k)
{
	struct utsname name;

	k->release = uname(&name) == 0 ? kernel_parse_release(name.release) : 0;
	k->has_kprobe_multi = probe_kprobe_multi();
	k->has_netfilter = probe_netfilter();
}
