/* SPDX-License-Identifier: ISC */
/*
 * The two gates: see sandbox.h.  The order of the steps is the point; each
 * takes away something that an earlier one still needed.
 */
#include "common/sandbox.h"

#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "aegis_config.h"
#include "common/log.h"
#include "common/sandbox_landlock.h"
#include "common/sandbox_rows.h"
#include "common/sandbox_seccomp.h"

/* Capabilities beyond the table's 64 bits do not exist yet. */
#define CAP_BIT(cap) (UINT64_C(1) << (cap))

static int landlock_abi;

#if AEGIS_SANITIZED
/*
 * The leak checker looks into its own process from another one, with
 * ptrace(2): behind the filter it would wait for ever.  It asks here.
 */
static int entered;

int __lsan_is_turned_off(void);

int
__lsan_is_turned_off(void)
{
	return entered;
}
#endif

int
sandbox_grant_dir(struct sandbox_grants *g, int fd, bool writable)
{
	if (g->dir_count >= SANDBOX_MAX_DIRS)
		return -ENOSPC;
	g->dirs[g->dir_count].fd = fd;
	g->dirs[g->dir_count].writable = writable;
	g->dir_count++;
	return 0;
}

int
sandbox_grant_connect(struct sandbox_grants *g, uint16_t port)
{
	if (g->connect_count >= SANDBOX_MAX_PORTS)
		return -ENOSPC;
	g->connect_ports[g->connect_count++] = port;
	return 0;
}

int
sandbox_grant_bind(struct sandbox_grants *g, uint16_t port)
{
	if (g->bind_count >= SANDBOX_MAX_PORTS)
		return -ENOSPC;
	g->bind_ports[g->bind_count++] = port;
	return 0;
}

static const struct sandbox_row *
find_row(enum proc_role role)
{
	/* aegisctl has no row: it is the operator's own process. */
	if ((unsigned int)role >= PROC_MAX || sandbox_rows[role].nofile == 0)
		return NULL;
	return &sandbox_rows[role];
}

const char *
sandbox_user(enum proc_role role)
{
	const struct sandbox_row *row = find_row(role);

	return row != NULL ? row->user : NULL;
}

int
sandbox_lookup_user(enum proc_role role, uid_t *uid, gid_t *gid)
{
	const char *name = sandbox_user(role);
	struct passwd *pw;

	if (name == NULL)
		return -EINVAL;
	errno = 0;
	pw = getpwnam(name);
	if (pw == NULL) {
		/* getpwnam(3): these all are ways to say "not found". */
		if (errno == 0 || errno == ESRCH || errno == EBADF ||
		    errno == EPERM)
			return -ENOENT;
		return -errno;
	}
	/* An account that is root in disguise protects nothing. */
	if (pw->pw_uid == 0 || pw->pw_gid == 0)
		return -EPERM;
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return 0;
}

/* Lower one limit; a limit that is lower already stays. */
static int
lower_limit(__rlimit_resource_t which, uint64_t value)
{
	struct rlimit limit;

	if (getrlimit(which, &limit) == -1)
		return -errno;
	if (limit.rlim_max > value)
		limit.rlim_max = value;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(which, &limit) == -1 ? -errno : 0;
}

int
sandbox_limit_data(uint64_t bytes)
{
	/* ASan's shadow counts as data. */
	return AEGIS_SANITIZED ? 0 : lower_limit(RLIMIT_DATA, bytes);
}

static int
apply_limits(const struct sandbox_row *row)
{
	int r;

	/* A core would hold what the process saw. */
	r = lower_limit(RLIMIT_CORE, 0);
	if (r == 0)
		r = lower_limit(RLIMIT_NOFILE, row->nofile);
	/* ASan reserves terabytes of address space that it does not use. */
	if (r == 0 && row->address_space != 0 && !AEGIS_SANITIZED)
		r = lower_limit(RLIMIT_AS, row->address_space);
	if (r == 0 && row->file_size != 0)
		r = lower_limit(RLIMIT_FSIZE, row->file_size);
	if (r == 0 && row->nproc != 0)
		r = lower_limit(RLIMIT_NPROC, row->nproc);
	return r;
}

/* Only what KEEP names can ever be had again. */
static int
cut_bounding_set(uint64_t keep)
{
	int cap;

	for (cap = 0; cap < 64; cap++) {
		if (keep & CAP_BIT(cap))
			continue;
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) < 0)
			break; /* the kernel knows no more */
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == -1)
			return -errno;
	}
	return 0;
}

/* Exactly CAPS, permitted and effective; inheritable too if asked for. */
static int
set_caps(uint64_t caps, bool inheritable)
{
	cap_t state = cap_init();
	cap_value_t cap;
	int r = 0;

	if (state == NULL)
		return -ENOMEM;
	for (cap = 0; cap < 64 && r == 0; cap++) {
		if (!(caps & CAP_BIT(cap)))
			continue;
		if (cap_set_flag(state, CAP_PERMITTED, 1, &cap, CAP_SET) ==
			-1 ||
		    cap_set_flag(state, CAP_EFFECTIVE, 1, &cap, CAP_SET) ==
			-1 ||
		    (inheritable &&
			cap_set_flag(
			    state, CAP_INHERITABLE, 1, &cap, CAP_SET) == -1))
			r = -errno;
	}
	if (r == 0 && cap_set_proc(state) == -1)
		r = -errno;
	(void)cap_free(state);
	return r;
}

static int
set_ambient(uint64_t caps)
{
	int cap;

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == -1)
		return -errno;
	for (cap = 0; cap < 64; cap++)
		if (caps & CAP_BIT(cap) &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) ==
			-1)
			return -errno;
	return 0;
}

static int
become_user(uid_t uid, gid_t gid)
{
	/* The capabilities outlive the change of uid, to be cut after it. */
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == -1)
		return -errno;
	if (setgroups(0, NULL) == -1 || setresgid(gid, gid, gid) == -1 ||
	    setresuid(uid, uid, uid) == -1)
		return -errno;
	return prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) == -1 ? -errno : 0;
}

/* Last, because a change of uid clears the death signal: no orphans. */
static int
close_first_gate(const char **what)
{
	*what = "no_new_privs";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return -errno;
	*what = "death signal";
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1)
		return -errno;
	*what = NULL;
	return 0;
}

int
sandbox_become(enum proc_role role, const char **what)
{
	const struct sandbox_row *row = find_row(role);
	uid_t uid;
	gid_t gid;
	int r;

	*what = "no row for this role";
	if (row == NULL || row->user == NULL)
		return -EINVAL;
	*what = "account";
	r = sandbox_lookup_user(role, &uid, &gid);
	if (r < 0)
		return r;
	*what = "limits";
	r = apply_limits(row);
	if (r < 0)
		return r;
	*what = "bounding set";
	r = cut_bounding_set(row->bounding);
	if (r < 0)
		return r;
	*what = "user and groups";
	r = become_user(uid, gid);
	if (r < 0)
		return r;
	*what = "capabilities";
	r = set_caps(row->caps, true);
	if (r == 0)
		r = set_ambient(row->caps);
	if (r < 0)
		return r;
	return close_first_gate(what);
}

int
sandbox_stay(enum proc_role role, const char **what)
{
	const struct sandbox_row *row = find_row(role);
	int r;

	*what = "no row for this role";
	if (row == NULL || row->user == NULL)
		return -EINVAL;
	*what = "limits";
	r = apply_limits(row);
	if (r < 0)
		return r;
	/* Whatever the caller holds; the bounding set means nothing then. */
	*what = "capabilities";
	r = set_ambient(0);
	if (r == 0)
		r = set_caps(0, false);
	if (r < 0)
		return r;
	return close_first_gate(what);
}

/* What sandbox_become() does for workers, for those that stay root. */
static int
cut_root(const struct sandbox_row *row)
{
	int r;

	r = apply_limits(row);
	if (r == 0)
		r = cut_bounding_set(row->bounding);
	if (r == 0)
		r = set_ambient(0);
	if (r == 0)
		r = set_caps(row->caps, false);
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		r = -errno;
	return r;
}

/* A worker that was not started by the spawner must not run with more. */
static int
check_become(const struct sandbox_row *row)
{
	uid_t uid, euid, suid;

	if (getresuid(&uid, &euid, &suid) == -1)
		return -errno;
	if (uid == 0 || euid == 0 || suid == 0 ||
	    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) {
		log_error("this worker runs as uid %u and did not pass "
			  "sandbox_become(): it is started by agentd's "
			  "spawner, not directly",
		    (unsigned int)euid);
		return -EPERM;
	}
	/* Ambient is for the exec alone: nothing may be handed further. */
	return set_caps(row->caps, false);
}

int
sandbox_enter(enum proc_role role, const struct sandbox_grants *grants)
{
	const struct sandbox_row *row = find_row(role);
	int r;

	if (row == NULL)
		return -EINVAL;
	landlock_abi = landlock_probe_abi();
	r = row->user == NULL ? cut_root(row) : check_become(row);
	if (r < 0)
		return r;
	/* No ptrace, no /proc/<pid>/mem, no core, by the same uid either. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		return -errno;
	r = landlock_enter(row, grants, landlock_abi);
	if (r < 0)
		return r;
#if AEGIS_SANITIZED
	entered = 1;
#endif
	return seccomp_enter(row);
}

int
sandbox_landlock_abi(void)
{
	return landlock_abi;
}
