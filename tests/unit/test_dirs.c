/* SPDX-License-Identifier: ISC */
/*
 * Each way in which a directory is refused.  What needs other owners needs
 * root; without it those tests say so and skip.
 */
#include "agentd/dirs.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/unit/unit.h"

#define WORKER   12345
#define STRANGER 12346

static char base[64];
static char path[256];
static char err[DIRS_ERROR_SIZE];

static const char *
under(const char *name)
{
	(void)snprintf(path, sizeof(path), "%s/%s", base, name);
	return path;
}

static void
begin(void)
{
	(void)umask(022);
	(void)snprintf(base, sizeof(base), "/tmp/aegis-test-dirs-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(base));
	ck_assert_int_eq(chmod(base, 0755), 0);
}

static int
remove_one(const char *name, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(name);
}

static void
end(void)
{
	ck_assert_int_eq(nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static bool
need_root(void)
{
	if (geteuid() == 0)
		return true;
	(void)printf("dirs: not root: skipped\n");
	return false;
}

static void
make(const char *name, mode_t mode, uid_t owner)
{
	const char *p = under(name);

	ck_assert_int_eq(mkdir(p, 0700), 0);
	ck_assert_int_eq(chmod(p, mode), 0);
	if (owner != geteuid())
		ck_assert_int_eq(chown(p, owner, owner), 0);
}

/* LOOKED and SAID: what agentd -n found of what then was opened as FD. */
static int
as_looked(int looked, const char *said, int fd)
{
	ck_assert_msg(looked == (fd < 0 ? fd : 0), "%d: %s", looked, said);
	ck_assert_str_eq(said, err);
	return fd;
}

static int
open_cache(const char *name)
{
	uid_t uid = geteuid() == 0 ? WORKER : geteuid();
	gid_t gid = geteuid() == 0 ? WORKER : getegid();
	char said[DIRS_ERROR_SIZE];
	int looked = dirs_check_cache(under(name), uid, said);

	return as_looked(looked, said, dirs_open_cache(path, uid, gid, err));
}

static int
open_state(const char *name)
{
	char said[DIRS_ERROR_SIZE];
	int looked = dirs_check_state(under(name), said);

	return as_looked(looked, said, dirs_open_state(path, err));
}

static int
open_parent(const char *of, const char **name)
{
	char said[DIRS_ERROR_SIZE];
	int looked = dirs_check_parent(of, said);

	return as_looked(looked, said, dirs_open_parent(of, name, err));
}

static void
refused(int r, int error, const char *says)
{
	ck_assert_msg(r == error, "%d: %s", r, err);
	ck_assert_msg(strstr(err, says) != NULL, "%s", err);
}

static void
accepted(int fd, uid_t owner, mode_t mode)
{
	struct stat st;

	ck_assert_msg(fd >= 0, "%s", err);
	ck_assert_str_eq(err, "");
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_uid, owner);
	ck_assert_uint_eq(st.st_mode & 07777, mode);
	ck_assert_int_eq(close(fd), 0);
}

START_TEST (a_cache_is_created_for_its_worker) {
	uid_t owner = geteuid() == 0 ? WORKER : geteuid();

	begin();
	accepted(open_cache("cache"), owner, 0700);
	accepted(open_cache("cache"), owner, 0700);
	accepted(open_cache("a/b/c"), owner, 0700);
	accepted(open_cache("a//./b/c/"), owner, 0700);
	end();
}
END_TEST

START_TEST (a_cache_that_others_have_a_hand_in_is_refused) {
	begin();
	make("group", 0770, geteuid());
	refused(open_cache("group"), -EPERM, "writable for others (mode 0770)");
	make("world", 0707, geteuid());
	refused(open_cache("world"), -EPERM, "writable for others");
	make("sticky", 01777, geteuid());
	refused(open_cache("sticky"), -EPERM, "writable for others");
	ck_assert_int_eq(symlink("/etc", under("link")), 0);
	refused(open_cache("link"), -ELOOP, "symbolic link");
	ck_assert_int_eq(symlink("nowhere", under("dangling")), 0);
	refused(open_cache("dangling"), -ELOOP, "symbolic link");
	ck_assert_int_eq(mknod(under("file"), S_IFREG | 0600, 0), 0);
	refused(open_cache("file"), -ENOTDIR, "not a directory");
	ck_assert_int_eq(mkfifo(under("fifo"), 0600), 0);
	refused(open_cache("fifo"), -ENOTDIR, "not a directory");
	refused(open_cache("file/x"), -ENOTDIR, "not a directory");
	refused(dirs_open_cache("relative", 1, 1, err), -EINVAL, "absolute");
	end();
}
END_TEST

START_TEST (strangers_directories_are_refused) {
	if (!need_root())
		return;
	begin();
	make("stranger", 0700, STRANGER);
	refused(open_cache("stranger"), -EPERM, "belongs to user 12346");
	/* Nor on the way. */
	make("way", 0755, STRANGER);
	refused(open_cache("way/cache"), -EPERM, "belongs to user 12346");
	/* In a sticky one, as /tmp, whoever comes first. */
	make("tmp", 01777, 0);
	make("tmp/squat", 0755, STRANGER);
	refused(open_cache("tmp/squat"), -EPERM, "belongs to user 12346");
	make("tmp/up", 0755, STRANGER);
	refused(open_cache("tmp/up/cache"), -EPERM, "belongs to user 12346");
	accepted(open_cache("tmp/own"), WORKER, 0700);
	end();
}
END_TEST

START_TEST (ways_that_others_can_bend_are_refused) {
	begin();
	make("open", 0777, geteuid());
	refused(open_cache("open/cache"), -EPERM, "exchange what lies in it");
	make("tmp", 01777, geteuid());
	ck_assert_int_eq(symlink("/var", under("tmp/link")), 0);
	refused(open_cache("tmp/link/cache"), -ELOOP, "anybody may make one");
	/* Where only root can make a link, it is followed. */
	make("real", 0755, geteuid());
	ck_assert_int_eq(symlink("real", under("relative")), 0);
	accepted(open_cache("relative/cache"),
	    geteuid() == 0 ? WORKER : geteuid(), 0700);
	ck_assert_int_eq(access(under("real/cache"), F_OK), 0);
	ck_assert_int_eq(symlink("tmp", under("to-tmp")), 0);
	refused(open_cache("to-tmp/link/cache"), -ELOOP, "anybody");
	ck_assert_int_eq(symlink("loop", under("loop")), 0);
	refused(open_cache("loop/cache"), -ELOOP, "too many");
	ck_assert_int_eq(symlink("../etc", under("up")), 0);
	refused(open_cache("up/cache"), -ELOOP, "..");
	end();
}
END_TEST

/* AGENT_CACHE_DIR=/var/lib must not give /var/lib away. */
START_TEST (roots_directory_becomes_the_workers_only_if_empty) {
	if (!need_root())
		return;
	begin();
	make("full", 0755, 0);
	make("full/x", 0755, 0);
	refused(open_cache("full"), -EPERM, "not empty");
	make("empty", 0755, 0);
	accepted(open_cache("empty"), WORKER, 0700);
	make("ours", 0700, WORKER);
	make("ours/x", 0700, WORKER);
	accepted(open_cache("ours"), WORKER, 0700);
	end();
}
END_TEST

START_TEST (the_state_directory_is_roots) {
	begin();
	accepted(open_state("state"), geteuid(), 0700);
	make("world", 0777, geteuid());
	refused(open_state("world"), -EPERM, "chmod go-w");
	ck_assert_int_eq(symlink("state", under("link")), 0);
	refused(open_state("link"), -ELOOP, "symbolic link");
	if (need_root()) {
		make("stranger", 0700, STRANGER);
		refused(open_state("stranger"), -EPERM, "must be root's");
		make("tmp", 01777, 0);
		make("tmp/stranger", 0700, STRANGER);
		refused(open_state("tmp/stranger"), -EPERM,
		    "belongs to user 12346");
	}
	/* What exists and is sound keeps its mode. */
	make("readable", 0755, geteuid());
	accepted(open_state("readable"), geteuid(), 0755);
	end();
}
END_TEST

START_TEST (the_spool_is_its_workers) {
	uid_t owner = geteuid() == 0 ? WORKER : geteuid();
	int fd;

	begin();
	fd = open_state("state");
	ck_assert_int_ge(fd, 0);
	accepted(dirs_open_spool(fd, owner, owner, err), owner, 0700);
	make("state/spool/segment", 0700, owner);
	accepted(dirs_open_spool(fd, owner, owner, err), owner, 0700);
	if (need_root()) {
		ck_assert_int_eq(
		    chown(under("state/spool"), STRANGER, STRANGER), 0);
		refused(dirs_open_spool(fd, owner, owner, err), -EPERM,
		    "belongs to user 12346");
	}
	ck_assert_int_eq(rmdir(under("state/spool/segment")), 0);
	ck_assert_int_eq(rmdir(under("state/spool")), 0);
	ck_assert_int_eq(symlink("/etc", under("state/spool")), 0);
	refused(dirs_open_spool(fd, owner, owner, err), -ENOTDIR, "spool");
	ck_assert_int_eq(close(fd), 0);
	end();
}
END_TEST

START_TEST (the_sockets_parent) {
	const char *name;

	begin();
	accepted(
	    open_parent(under("run/x/control.sock"), &name), geteuid(), 0755);
	ck_assert_str_eq(name, "control.sock");
	make("world", 0777, geteuid());
	refused(open_parent(under("world/s"), &name), -EPERM, "chmod go-w");
	refused(open_parent("x", &name), -EINVAL, "not a path");
	refused(open_parent("/x/", &name), -EINVAL, "not a path");
	end();
}
END_TEST

START_TEST (looking_makes_and_changes_nothing) {
	struct stat before, after;

	begin();
	ck_assert_int_eq(dirs_check_state(under("a/b"), err), 0);
	ck_assert_int_eq(dirs_check_cache(under("a/b"), WORKER, err), 0);
	ck_assert_int_eq(dirs_check_parent(under("a/b/s"), err), 0);
	ck_assert_int_eq(access(under("a"), F_OK), -1);
	make("empty", 0755, geteuid());
	ck_assert_int_eq(stat(under("empty"), &before), 0);
	ck_assert_int_eq(dirs_check_cache(path, WORKER, err), 0);
	ck_assert_int_eq(stat(path, &after), 0);
	ck_assert_uint_eq(after.st_uid, before.st_uid);
	ck_assert_uint_eq(after.st_ino, before.st_ino);
	end();
}
END_TEST

START_TEST (the_registrys_tree) {
	begin();
	make("tree", 0777, geteuid());
	accepted(dirs_open_registry(under("tree"), err), geteuid(), 0777);
	refused(dirs_open_registry(under("none"), err), -ENOENT, "none");
	end();
}
END_TEST

UNIT_MAIN("dirs", a_cache_is_created_for_its_worker,
    a_cache_that_others_have_a_hand_in_is_refused,
    strangers_directories_are_refused, ways_that_others_can_bend_are_refused,
    roots_directory_becomes_the_workers_only_if_empty,
    the_state_directory_is_roots, the_spool_is_its_workers, the_sockets_parent,
    looking_makes_and_changes_nothing, the_registrys_tree)
