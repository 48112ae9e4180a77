/* SPDX-License-Identifier: ISC */
/*
 * Landlock by raw system calls: glibc has no wrappers, and the headers of the
 * oldest distribution this is built on know ABI 2 only, so that the later
 * names are written down here (include/uapi/linux/landlock.h).
 */
#include "common/sandbox_landlock.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#ifndef __NR_landlock_create_ruleset
#define __NR_landlock_create_ruleset 444
#define __NR_landlock_add_rule       445
#define __NR_landlock_restrict_self  446
#endif

#define CREATE_RULESET_VERSION (1U << 0)
#define RULE_PATH_BENEATH      1
#define RULE_NET_PORT          2

#define FS_EXECUTE     (UINT64_C(1) << 0)
#define FS_WRITE_FILE  (UINT64_C(1) << 1)
#define FS_READ_FILE   (UINT64_C(1) << 2)
#define FS_READ_DIR    (UINT64_C(1) << 3)
#define FS_REMOVE_DIR  (UINT64_C(1) << 4)
#define FS_REMOVE_FILE (UINT64_C(1) << 5)
#define FS_MAKE_DIR    (UINT64_C(1) << 7)
#define FS_MAKE_REG    (UINT64_C(1) << 8)
#define FS_ALL_ABI_1   ((UINT64_C(1) << 13) - 1)
#define FS_REFER       (UINT64_C(1) << 13) /* ABI 2 */
#define FS_TRUNCATE    (UINT64_C(1) << 14) /* ABI 3 */
#define FS_IOCTL_DEV   (UINT64_C(1) << 15) /* ABI 5 */

#define NET_BIND_TCP    (UINT64_C(1) << 0) /* ABI 4 */
#define NET_CONNECT_TCP (UINT64_C(1) << 1)

#define SCOPE_ABSTRACT_UNIX_SOCKET (UINT64_C(1) << 0) /* ABI 6 */
#define SCOPE_SIGNAL               (UINT64_C(1) << 1)

/* What a rule on a file that is no directory may hold. */
#define FS_OF_FILES                                                            \
	(FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

#define FS_READING (FS_READ_FILE)
#define FS_WRITING                                                             \
	(FS_READ_FILE | FS_READ_DIR | FS_WRITE_FILE | FS_TRUNCATE |            \
	    FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG |       \
	    FS_REFER)

struct ruleset_attr {
	uint64_t handled_access_fs;
	uint64_t handled_access_net;
	uint64_t scoped;
};

struct path_attr {
	uint64_t allowed_access;
	int32_t parent_fd;
} __attribute__((packed));

struct port_attr {
	uint64_t allowed_access;
	uint64_t port;
};

int
landlock_probe_abi(void)
{
	long abi = syscall(
	    __NR_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

	return abi < 0 ? 0 : (int)abi;
}

/* A row without ports to decide on: it has TCP, and nobody said which. */
static bool
ports_free(bool allowed, unsigned int count)
{
	return allowed && count == 0;
}

static void
handle_rights(struct ruleset_attr *attr, const struct sandbox_row *row,
    const struct sandbox_grants *g, int abi)
{
	*attr = (struct ruleset_attr){ 0 };
	if (!row->paths_free) {
		attr->handled_access_fs = FS_ALL_ABI_1;
		if (abi >= 2)
			attr->handled_access_fs |= FS_REFER;
		if (abi >= 3)
			attr->handled_access_fs |= FS_TRUNCATE;
		if (abi >= 5)
			attr->handled_access_fs |= FS_IOCTL_DEV;
	}
	if (abi >= 4) {
		if (!ports_free(row->tcp_connect, g->connect_count))
			attr->handled_access_net |= NET_CONNECT_TCP;
		if (!ports_free(row->tcp_bind, g->bind_count))
			attr->handled_access_net |= NET_BIND_TCP;
	}
	if (abi >= 6)
		attr->scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL;
}

static int
add_path(int ruleset, const struct ruleset_attr *attr, int fd, uint64_t rights)
{
	struct path_attr rule = { .parent_fd = fd };
	struct stat st;

	if (fstat(fd, &st) == -1)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		rights &= FS_OF_FILES;
	rule.allowed_access = rights & attr->handled_access_fs;
	if (rule.allowed_access == 0)
		return 0;
	if (syscall(__NR_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule,
		0) == -1)
		return -errno;
	return 0;
}

static int
add_row_path(int ruleset, const struct ruleset_attr *attr,
    const struct sandbox_path *path)
{
	_cleanup_fd_ int fd = -1;
	uint64_t rights = path->writable ? FS_WRITING : FS_READING;
	int r;

	if (path->directory_list)
		rights |= FS_READ_DIR;
	if (path->list_only)
		rights = FS_READ_DIR;
	fd = open(path->path, O_PATH | O_CLOEXEC);
	if (fd == -1) {
		/* Not on this host, or not for this account: no rule. */
		if (errno == ENOENT || errno == ENOTDIR || errno == EACCES)
			return 0;
		return -errno;
	}
	r = add_path(ruleset, attr, fd, rights);
	if (r == 0 && path->pinned)
		(void)fd_steal(&fd); /* for as long as the process lives */
	return r;
}

static int
add_port(int ruleset, const struct ruleset_attr *attr, uint64_t access,
    uint16_t port)
{
	struct port_attr rule = { .allowed_access = access, .port = port };

	if (!(attr->handled_access_net & access))
		return 0;
	if (syscall(__NR_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0) ==
	    -1)
		return -errno;
	return 0;
}

static int
add_paths(int ruleset, const struct ruleset_attr *attr,
    const struct sandbox_row *row, const struct sandbox_grants *g)
{
	const struct sandbox_path *path;
	unsigned int i;
	int r = 0;

	for (path = row->paths; path != NULL && path->path != NULL; path++) {
		r = add_row_path(ruleset, attr, path);
		if (r < 0)
			return r;
	}
	for (i = 0; i < g->dir_count && r == 0; i++)
		r = add_path(ruleset, attr, g->dirs[i].fd,
		    g->dirs[i].writable ? FS_WRITING
					: FS_READING | FS_READ_DIR);
	return r;
}

static int
add_ports(int ruleset, const struct ruleset_attr *attr,
    const struct sandbox_row *row, const struct sandbox_grants *g)
{
	unsigned int i;
	int r = 0;

	for (i = 0; row->tcp_connect && i < g->connect_count && r == 0; i++)
		r = add_port(
		    ruleset, attr, NET_CONNECT_TCP, g->connect_ports[i]);
	/* The resolver turns to TCP when an answer is long. */
	if (row->tcp_connect && r == 0)
		r = add_port(ruleset, attr, NET_CONNECT_TCP, 53);
	for (i = 0; row->tcp_bind && i < g->bind_count && r == 0; i++)
		r = add_port(ruleset, attr, NET_BIND_TCP, g->bind_ports[i]);
	return r;
}

int
landlock_enter(
    const struct sandbox_row *row, const struct sandbox_grants *grants, int abi)
{
	static const struct sandbox_grants none;
	const struct sandbox_grants *g = grants != NULL ? grants : &none;
	_cleanup_fd_ int ruleset = -1;
	struct ruleset_attr attr;
	int r;

	if (abi <= 0)
		return 0;
	handle_rights(&attr, row, g, abi);
	if (attr.handled_access_fs == 0 && attr.handled_access_net == 0 &&
	    attr.scoped == 0)
		return 0;
	/* An older kernel takes the longer structure if its end is zero. */
	ruleset =
	    (int)syscall(__NR_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset == -1)
		return -errno;
	r = add_paths(ruleset, &attr, row, g);
	if (r < 0)
		return r;
	r = add_ports(ruleset, &attr, row, g);
	if (r < 0)
		return r;
	if (syscall(__NR_landlock_restrict_self, ruleset, 0) == -1)
		return -errno;
	return 0;
}
