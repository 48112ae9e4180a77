/* SPDX-License-Identifier: ISC */
/*
 * Directories in other accounts' names.  All of it needs root; without it
 * the tests say so and skip.
 */
#include "agentd/fsuser.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/unit.h"

#define WORKER 12345
#define GROUP  12347

static char base[64];
static int parent;

static bool
begin(void)
{
	if (geteuid() != 0) {
		(void)printf("fsuser: not root: skipped\n");
		return false;
	}
	(void)umask(077);
	(void)snprintf(base, sizeof(base), "/tmp/aegis-test-fsuser-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(base));
	parent = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(parent, 0);
	return true;
}

static int
remove_one(const char *name, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(name);
}

static void
end(void)
{
	ck_assert_int_eq(close(parent), 0);
	ck_assert_int_eq(nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* What agentd has for this: not CHOWN, not DAC_READ_SEARCH, no other. */
static void
keep_two_caps(void)
{
	const cap_value_t caps[] = { CAP_SETUID, CAP_SETGID };
	cap_t state = cap_init();

	if (state == NULL ||
	    cap_set_flag(state, CAP_PERMITTED, 2, caps, CAP_SET) == -1 ||
	    cap_set_flag(state, CAP_EFFECTIVE, 2, caps, CAP_SET) == -1 ||
	    cap_set_proc(state) == -1 || chown(base, WORKER, GROUP) == 0)
		_exit(255);
	(void)cap_free(state);
}

/* The errno of STEP in a process with two capabilities; 0: it did it. */
static int
without_caps(int (*step)(void))
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		keep_two_caps();
		_exit(-step());
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
check_owner(const char *name, uid_t uid, gid_t gid, mode_t mode)
{
	struct stat st;

	ck_assert_int_eq(fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	ck_assert_uint_eq(st.st_uid, uid);
	ck_assert_uint_eq(st.st_gid, gid);
	ck_assert_uint_eq(st.st_mode & 07777, mode);
}

/* What came before must be as it was: as whom files are made. */
static void
check_identity(void)
{
	ck_assert_int_eq(setfsuid((uid_t)-1), 0);
	ck_assert_int_eq(setfsgid((gid_t)-1), (int)getegid());
}

static int
replace_spool(void)
{
	return fsuser_replace_dir(parent, "spool", WORKER, GROUP);
}

static int
open_spool(uid_t uid)
{
	int r, fd = openat(parent, "spool", O_PATH | O_CLOEXEC);

	/* Root itself cannot. */
	if (fd == -1 || openat(parent, "spool", O_RDONLY) != -1)
		return -EXDEV;
	r = fsuser_open_dir(fd, uid, GROUP);
	return r < 0 ? r : 0;
}

static int
open_spool_as_worker(void)
{
	return open_spool(WORKER);
}

static int
open_spool_as_stranger(void)
{
	return open_spool(WORKER + 1);
}

START_TEST (roots_becomes_theirs) {
	if (!begin())
		return;
	ck_assert_int_eq(mkdirat(parent, "spool", 0755), 0);
	ck_assert_int_eq(without_caps(replace_spool), 0);
	check_owner("spool", WORKER, GROUP, 0700);
	ck_assert_int_eq(without_caps(open_spool_as_worker), 0);
	ck_assert_int_eq(without_caps(open_spool_as_stranger), EACCES);
	ck_assert_int_eq(faccessat(parent, ".aegisflux-new", F_OK, 0), -1);
	end();
}
END_TEST

START_TEST (the_caller_stays_who_it_is) {
	int fd;

	if (!begin())
		return;
	ck_assert_int_eq(mkdirat(parent, "spool", 0755), 0);
	ck_assert_int_eq(replace_spool(), 0);
	check_identity();
	fd = fsuser_open_dir(parent, WORKER, GROUP);
	ck_assert_int_eq(fd, -EACCES);
	check_identity();
	end();
}
END_TEST

START_TEST (what_holds_something_stays) {
	if (!begin())
		return;
	ck_assert_int_eq(mkdirat(parent, "full", 0755), 0);
	ck_assert_int_eq(mkdirat(parent, "full/x", 0755), 0);
	ck_assert_int_eq(
	    fsuser_replace_dir(parent, "full", WORKER, GROUP), -ENOTEMPTY);
	check_owner("full", 0, getegid(), 0700);
	check_identity();
	ck_assert_int_eq(faccessat(parent, ".aegisflux-new", F_OK, 0), -1);
	end();
}
END_TEST

START_TEST (an_attempt_that_was_cut_off_does_not_matter) {
	if (!begin())
		return;
	ck_assert_int_eq(mkdirat(parent, "spool", 0755), 0);
	ck_assert_int_eq(mkdirat(parent, ".aegisflux-new", 0770), 0);
	ck_assert_int_eq(mkdirat(parent, ".aegisflux-new/dir", 0770), 0);
	ck_assert_int_eq(
	    fchownat(parent, ".aegisflux-new/dir", WORKER, GROUP, 0), 0);
	ck_assert_int_eq(without_caps(replace_spool), 0);
	check_owner("spool", WORKER, GROUP, 0700);
	end();
}
END_TEST

START_TEST (a_link_in_the_way_leads_nowhere) {
	if (!begin())
		return;
	ck_assert_int_eq(mkdirat(parent, "spool", 0755), 0);
	ck_assert_int_eq(symlinkat("/etc", parent, ".aegisflux-new"), 0);
	ck_assert_int_eq(
	    fsuser_replace_dir(parent, "spool", WORKER, GROUP), -EEXIST);
	check_owner("spool", 0, getegid(), 0700);
	check_identity();
	end();
}
END_TEST

static int
bind_socket(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd, r;

	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/s", base);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -EXDEV;
	r = fsuser_bind(fd, (const struct sockaddr *)&sun, sizeof(sun), GROUP);
	(void)close(fd);
	return r;
}

START_TEST (a_socket_of_a_group) {
	if (!begin())
		return;
	ck_assert_int_eq(without_caps(bind_socket), 0);
	check_owner("s", 0, GROUP, 0700);
	ck_assert_int_eq(without_caps(bind_socket), EADDRINUSE);
	ck_assert_int_eq(bind_socket(), -EADDRINUSE);
	check_identity();
	end();
}
END_TEST

UNIT_MAIN("fsuser", roots_becomes_theirs, the_caller_stays_who_it_is,
    what_holds_something_stays, an_attempt_that_was_cut_off_does_not_matter,
    a_link_in_the_way_leads_nowhere, a_socket_of_a_group)
