/* SPDX-License-Identifier: ISC */
/*
 * What a descriptor is, as the kernel says it.
 */
#include "agentd/handover_held.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static int
get_info(int fd, void *info, uint32_t size)
{
	union bpf_attr attr = { 0 };

	attr.info.bpf_fd = (uint32_t)fd;
	attr.info.info_len = size;
	attr.info.info = (uint64_t)(uintptr_t)info;
	if (syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) == -1)
		return -errno;
	return 0;
}

int
held_describe(int fd, enum held_kind kind, struct held *held)
{
	struct bpf_link_info link = { 0 };
	struct bpf_prog_info prog = { 0 };
	struct bpf_map_info map = { 0 };
	struct stat st;
	int r = 0;

	memset(held, 0, sizeof(*held));
	held->kind = kind;
	switch (kind) {
	case HELD_LINK:
		r = get_info(fd, &link, sizeof(link));
		held->id = link.id;
		held->prog_id = link.prog_id;
		break;
	case HELD_PROG:
		r = get_info(fd, &prog, sizeof(prog));
		held->id = prog.id;
		memcpy(held->tag, prog.tag, sizeof(held->tag));
		break;
	case HELD_MAP:
		r = get_info(fd, &map, sizeof(map));
		held->id = map.id;
		break;
	case HELD_MEMFD:
		if (fstat(fd, &st) == -1)
			return -errno;
		held->inode = st.st_ino;
		break;
	default:
		break;
	}
	return r;
}

enum held_kind
held_kind_of(int fd)
{
	static const struct {
		const char *prefix;
		enum held_kind kind;
	} kinds[] = {
		{ "anon_inode:bpf_link", HELD_LINK },
		{ "anon_inode:bpf-link", HELD_LINK },
		{ "anon_inode:bpf-prog", HELD_PROG },
		{ "anon_inode:bpf-map", HELD_MAP },
		{ "anon_inode:bpf-stats", HELD_STATS },
		{ "/memfd:", HELD_MEMFD },
	};
	char path[64], target[128];
	ssize_t n;
	size_t i;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return HELD_OTHER;
	target[n] = '\0';
	for (i = 0; i < nitems(kinds); i++)
		if (strncmp(target, kinds[i].prefix, strlen(kinds[i].prefix)) ==
		    0)
			return kinds[i].kind;
	return HELD_OTHER;
}
