/* SPDX-License-Identifier: ISC */
#include "agentd/fdkind.h"

#include <string.h>

#include "common/msg.h"

/*
 * The kernel's names for files without a path.  The rest are sealed memfds,
 * whose seals and size whoever reads them checks (memfd_map()).
 */
static const char *
name_of(uint32_t type)
{
	switch (type) {
	case MSG_LOAD_PROG:
		return "anon_inode:bpf-prog";
	case MSG_LOAD_MAP:
		return "anon_inode:bpf-map";
	case MSG_LOAD_LINK:
	case MSG_LINK_ATTACHED:
		return "anon_inode:bpf_link";
	default:
		return "/memfd:";
	}
}

int
fdkind_check(const struct imsg *m)
{
	const char *want = name_of(m->type);
	char path[64], is[64] = "";
	size_t len = strlen(want);

	if (m->fd < 0)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", m->fd);
	if (readlink(path, is, sizeof(is) - 1) == -1)
		return -errno;
	/* An anonymous one has this name and nothing after it. */
	if (strncmp(is, want, len) != 0 || (want[0] != '/' && is[len] != '\0'))
		return -EBADF;
	return 0;
}
