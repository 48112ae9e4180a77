/* SPDX-License-Identifier: ISC */
#include "agentd/fsuser.h"

#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/stat.h>

/* Where a directory of another's comes from: below one that is both's. */
#define BESIDE ".aegisflux-new"

struct identity {
	uid_t uid;
	gid_t gid;
};

/* These calls tell no errors: what is in force is asked for. */
static int
set_identity(uid_t uid, gid_t gid)
{
	const uid_t nobody = (uid_t)-1;

	(void)setfsgid(gid);
	(void)setfsuid(uid);
	return (uid_t)setfsuid(nobody) == uid &&
		(gid_t)setfsgid((gid_t)-1) == gid
	    ? 0
	    : -EPERM;
}

static void
restore_identity(const struct identity *was)
{
	/* The user first: root's capabilities for files come with it. */
	(void)setfsuid(was->uid);
	(void)setfsgid(was->gid);
}

static struct identity
own_identity(void)
{
	return (struct identity){ .uid = geteuid(), .gid = getegid() };
}

int
fsuser_open_dir(int dir, uid_t uid, gid_t gid)
{
	const struct identity was = own_identity();
	int fd, r;

	r = set_identity(uid, gid);
	if (r == 0) {
		fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = fd == -1 ? -errno : fd;
	}
	restore_identity(&was);
	return r;
}

/* In BESIDE: a directory of UID's, that GID may move. */
static int
make_theirs(int beside, uid_t uid, gid_t gid)
{
	const struct identity was = own_identity();
	int r;

	r = set_identity(uid, gid);
	/* The mode after that: the umask has a say in mkdir(2). */
	if (r == 0 &&
	    (mkdirat(beside, "dir", 0700) == -1 ||
		fchmodat(beside, "dir", 0770, 0) == -1))
		r = -errno;
	restore_identity(&was);
	return r;
}

/* Moving a directory takes the right to write into it: its group's. */
static int
move_theirs(int beside, int parent, const char *name, gid_t gid)
{
	const struct identity was = own_identity();
	int r;

	r = set_identity(was.uid, gid);
	if (r == 0 && renameat(beside, "dir", parent, name) == -1)
		r = -errno;
	restore_identity(&was);
	return r;
}

static int
close_to_group(int parent, const char *name, uid_t uid, gid_t gid)
{
	const struct identity was = own_identity();
	_cleanup_fd_ int fd = -1;
	int r;

	fd =
	    openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		return -errno;
	r = set_identity(uid, gid);
	if (r == 0 && fchmodat(fd, ".", 0700, 0) == -1)
		r = -errno;
	restore_identity(&was);
	return r;
}

/* Make BESIDE, the caller's and GID's. */
static int
open_beside(int parent, gid_t gid)
{
	const struct identity was = own_identity();
	_cleanup_fd_ int fd = -1;
	int r;

	r = set_identity(was.uid, gid);
	if (r == 0 && mkdirat(parent, BESIDE, 0700) == -1)
		r = -errno;
	restore_identity(&was);
	if (r < 0)
		return r;
	fd = openat(
	    parent, BESIDE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1 || fchmod(fd, 0770) == -1)
		return -errno;
	return fd_steal(&fd);
}

/* What an agentd that was killed at it left behind, too. */
static void
remove_beside(int parent)
{
	_cleanup_fd_ int fd = -1;

	fd = openat(
	    parent, BESIDE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		(void)unlinkat(fd, "dir", AT_REMOVEDIR);
	(void)unlinkat(parent, BESIDE, AT_REMOVEDIR);
}

int
fsuser_replace_dir(int parent, const char *name, uid_t uid, gid_t gid)
{
	_cleanup_fd_ int beside = -1;
	int r;

	remove_beside(parent);
	beside = open_beside(parent, gid);
	if (beside < 0)
		return beside;
	r = make_theirs(beside, uid, gid);
	if (r == 0)
		r = move_theirs(beside, parent, name, gid);
	if (r == 0)
		r = close_to_group(parent, name, uid, gid);
	remove_beside(parent);
	return r;
}

int
fsuser_bind(int fd, const struct sockaddr *addr, socklen_t len, gid_t gid)
{
	const struct identity was = own_identity();
	int r;

	r = set_identity(was.uid, gid);
	if (r == 0 && bind(fd, addr, len) == -1)
		r = -errno;
	restore_identity(&was);
	return r;
}
