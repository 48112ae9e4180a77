/* SPDX-License-Identifier: ISC */
#include "agentd/linkinfo.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINK_TYPE_TCX 11 /* Linux 6.6: newer than these headers */

static int
read_info(int fd, void *info, uint32_t size)
{
	union bpf_attr attr = {
		.info = {
			.bpf_fd = (uint32_t)fd,
			.info_len = size,
			.info = (uintptr_t)info,
		},
	};

	return syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) ==
		-1
	    ? -errno
	    : 0;
}

/* Links of other types cannot be detached but by closing them. */
static bool
is_attached(const struct bpf_link_info *info)
{
	switch ((int)info->type) {
	case BPF_LINK_TYPE_XDP:
	case LINK_TYPE_TCX: /* begins with the interface, as XDP's */
		return info->xdp.ifindex != 0;
	case BPF_LINK_TYPE_CGROUP:
		return info->cgroup.cgroup_id != 0;
	case BPF_LINK_TYPE_NETNS:
		return info->netns.netns_ino != 0;
	default:
		return true;
	}
}

int
linkinfo_read(int link, int prog, struct link_seen *seen)
{
	struct bpf_link_info info = { 0 };
	struct bpf_prog_info prog_info = { 0 };
	int r;

	memset(seen, 0, sizeof(*seen));
	r = read_info(link, &info, sizeof(info));
	if (r == 0 && prog >= 0)
		/* No further than the tag: counting runs over all CPUs is
		 * another's business. */
		r = read_info(prog, &prog_info,
		    offsetof(struct bpf_prog_info, jited_prog_len));
	if (r < 0)
		return r;
	seen->attached = is_attached(&info);
	seen->prog_id = info.prog_id;
	seen->held_id = prog_info.id;
	memcpy(seen->tag, prog_info.tag, sizeof(seen->tag));
	return 0;
}
