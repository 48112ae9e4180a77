/* SPDX-License-Identifier: ISC */
#include "agentd/dirs.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "agentd/fsuser.h"
#include "common/limits.h"
#include "common/strnum.h"

#define MAX_LINKS 8

/*
 * To walk on, not to read: what belongs to a worker is its own, and root
 * without a capability for that cannot open it.
 */
#define OPEN_WAY (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* Where the walk is. */
struct walk {
	const char *path; /* as the operator wrote it */
	char *err;
	bool look;               /* and change nothing: see MISSING */
	uid_t uid;               /* may own what lies in a sticky directory */
	int fd;                  /* the directory reached */
	int parent;              /* where that lies; -1: it is / */
	char name[NAME_MAX + 1]; /* and is called so there */
	struct stat st;          /* of fd */
	char rest[2 * AEGIS_PATH_SIZE]; /* what is to be walked yet */
	char
	    where[2 * AEGIS_PATH_SIZE]; /* for messages: what has been walked */
	unsigned int links;
};

/* What a walk that only looks returns where one would be made. */
#define MISSING 1

static int fail(char *err, int error, const char *fmt, ...) _printf_(3, 4);

static int
fail(char *err, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(err, DIRS_ERROR_SIZE, fmt, ap);
	va_end(ap);
	str_scrub(err, DIRS_ERROR_SIZE);
	return error;
}

static bool
owner_is_ours(uid_t owner)
{
	return owner == 0 || owner == geteuid();
}

/* Writable for anybody but the owner; root's group is as good as root. */
static bool
others_write(const struct stat *st)
{
	return (st->st_mode & S_IWOTH) != 0 ||
	    ((st->st_mode & S_IWGRP) != 0 && st->st_gid != 0);
}

/* May the next component be looked up in this directory at all? */
static int
check_way(const struct walk *w)
{
	if (!owner_is_ours(w->st.st_uid))
		return fail(w->err, -EPERM,
		    "%s: %s belongs to user %u, who could exchange what lies "
		    "in it: only root may own the way",
		    w->path, w->where, (unsigned int)w->st.st_uid);
	if (others_write(&w->st) && (w->st.st_mode & S_ISVTX) == 0)
		return fail(w->err, -EPERM,
		    "%s: %s is writable for others (mode %04o), who could "
		    "exchange what lies in it",
		    w->path, w->where, (unsigned int)w->st.st_mode & 07777);
	return 0;
}

/* Go down to FD, an opened directory (taken). */
static int
enter(struct walk *w, int fd, const char *name)
{
	size_t n = strlen(w->where);

	fd_close(&w->parent);
	w->parent = w->fd;
	w->fd = fd;
	str_copy_cut(w->name, sizeof(w->name), name);
	(void)snprintf(
	    w->where + n, sizeof(w->where) - n, "%s%s", n > 1 ? "/" : "", name);
	if (fstat(fd, &w->st) == -1)
		return fail(w->err, -errno, "%s: cannot look at %s: %s",
		    w->path, w->where, strerror(errno));
	return 0;
}

static int
restart_at_root(struct walk *w)
{
	int fd = open("/", OPEN_WAY);

	if (fd == -1)
		return fail(w->err, -errno, "%s: cannot open /: %s", w->path,
		    strerror(errno));
	w->where[0] = '\0';
	fd_close(&w->fd);
	return enter(w, fd, "/");
}

/* A link where only root can make one: its target takes its place. */
static int
follow(struct walk *w, const char *name)
{
	char target[AEGIS_PATH_SIZE], joined[sizeof(w->rest)];
	ssize_t n;

	if (others_write(&w->st))
		return fail(w->err, -ELOOP,
		    "%s: %s/%s is a symbolic link in a directory where "
		    "anybody may make one",
		    w->path, w->where, name);
	if (++w->links > MAX_LINKS)
		return fail(
		    w->err, -ELOOP, "%s: too many symbolic links", w->path);
	n = readlinkat(w->fd, name, target, sizeof(target) - 1);
	if (n == -1)
		return fail(w->err, -errno, "%s: cannot read the link %s/%s",
		    w->path, w->where, name);
	target[n] = '\0';
	if (strstr(target, "..") != NULL)
		return fail(w->err, -ELOOP,
		    "%s: the link %s/%s leads through \"..\": write the real "
		    "path",
		    w->path, w->where, name);
	if ((size_t)snprintf(joined, sizeof(joined), "%s/%s", target,
		w->rest) >= sizeof(joined))
		return fail(w->err, -ENAMETOOLONG, "%s: too long", w->path);
	memcpy(w->rest, joined, sizeof(joined));
	return target[0] == '/' ? restart_at_root(w) : 0;
}

/*
 * One component: enter, create (or be MISSING), or follow it.  LAST: none
 * follows, and it is made with MODE.
 */
static int
step(struct walk *w, const char *name, bool last, mode_t mode)
{
	bool sticky = others_write(&w->st);
	struct stat st;
	int r, fd;

	r = check_way(w);
	if (r < 0)
		return r;
	if (!w->look && mkdirat(w->fd, name, last ? mode : 0755) == -1 &&
	    errno != EEXIST && errno != EROFS && errno != EACCES)
		return fail(w->err, -errno, "%s: cannot create %s/%s: %s",
		    w->path, w->where, name, strerror(errno));
	if (fstatat(w->fd, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return w->look && errno == ENOENT
		    ? MISSING
		    : fail(w->err, -errno, "%s: cannot look at %s/%s: %s",
			  w->path, w->where, name, strerror(errno));
	if (S_ISLNK(st.st_mode) && last)
		return fail(w->err, -ELOOP,
		    "%s is a symbolic link: name the directory itself",
		    w->path);
	if (S_ISLNK(st.st_mode))
		return follow(w, name);
	fd = openat(w->fd, name, OPEN_WAY);
	if (fd == -1)
		return fail(w->err, -errno,
		    errno == ENOTDIR || errno == ELOOP
			? "%s: %s/%s is not a directory"
			: "%s: cannot open %s/%s",
		    w->path, w->where, name);
	r = enter(w, fd, name);
	if (r == 0 && sticky && !owner_is_ours(w->st.st_uid) &&
	    w->st.st_uid != w->uid)
		r = fail(w->err, -EPERM,
		    "%s: %s belongs to user %u, who made it where anybody may: "
		    "remove it or name another directory",
		    w->path, w->where, (unsigned int)w->st.st_uid);
	return r;
}

/* Walk to PATH; the descriptors stay in W: leave(). */
static int
walk_to(struct walk *w, const char *path, mode_t mode)
{
	char name[NAME_MAX + 1];
	size_t len, skip;
	int r;

	w->path = path;
	w->fd = w->parent = -1;
	w->links = 0;
	*w->err = '\0';
	if (path[0] != '/' || str_copy(w->rest, sizeof(w->rest), path) < 0)
		return fail(w->err, -EINVAL, "%s: not an absolute path", path);
	r = restart_at_root(w);
	while (r == 0) {
		skip = strspn(w->rest, "/");
		len = strcspn(w->rest + skip, "/");
		if (len == 0)
			return 0;
		if (len > NAME_MAX)
			return fail(w->err, -ENAMETOOLONG,
			    "%s: a component is too long", path);
		memcpy(name, w->rest + skip, len);
		name[len] = '\0';
		memmove(w->rest, w->rest + skip + len,
		    strlen(w->rest + skip + len) + 1);
		if (strcmp(name, ".") == 0)
			continue;
		r = step(w, name, w->rest[strspn(w->rest, "/")] == '\0', mode);
	}
	return r;
}

/* The end of a walk: the directory reached, for its owner to read. */
static int
leave(struct walk *w, int r, uid_t uid, gid_t gid)
{
	int fd = -1;

	if (r == 0) {
		fd = fsuser_open_dir(w->fd, uid, gid);
		if (fd < 0)
			r = fail(w->err, fd, "%s: cannot open %s", w->path,
			    w->where);
	}
	fd_close(&w->fd);
	fd_close(&w->parent);
	return r < 0 ? r : fd;
}

/* May a directory found with ST be UID's, as it is or after a change? */
static int
check_owner(const struct stat *st, const char *where, uid_t uid, char *err)
{
	if (st->st_uid != uid && !owner_is_ours(st->st_uid))
		return fail(err, -EPERM,
		    "%s belongs to user %u: it must be of user %u (or of "
		    "root, and empty); remove it or name another directory",
		    where, (unsigned int)st->st_uid, (unsigned int)uid);
	if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return fail(err, -EPERM,
		    "%s is writable for others (mode %04o): chmod 0700 it "
		    "after a look at what lies in it",
		    where, (unsigned int)st->st_mode & 07777);
	return 0;
}

static int
not_empty(const char *where, char *err)
{
	return fail(err, -EPERM,
	    "%s is root's and not empty: it must be a directory of its own",
	    where);
}

/*
 * Give the directory FD, found as NAME in PARENT with ST, to UID:GID; WHERE
 * for messages.  *FD is the new one then.
 */
static int
hand_over(int *fd, int parent, const char *name, const struct stat *st,
    const char *where, uid_t uid, gid_t gid, char *err)
{
	int r;

	r = check_owner(st, where, uid, err);
	if (r < 0 || st->st_uid == uid)
		return r;
	r = parent < 0 ? -ENOTEMPTY
		       : fsuser_replace_dir(parent, name, uid, gid);
	if (r == -ENOTEMPTY)
		return not_empty(where, err);
	if (r < 0)
		return fail(err, r, "%s: cannot give it to user %u: %s", where,
		    (unsigned int)uid,
		    r == -EBUSY
			? "something is mounted there: name a directory in it"
			: strerror(-r));
	fd_close(fd);
	*fd = openat(parent, name, OPEN_WAY);
	return *fd == -1 ? fail(err, -errno, "cannot open %s", where) : 0;
}

int
dirs_open_cache(const char *path, uid_t uid, gid_t gid, char *err)
{
	struct walk w = { .err = err, .uid = uid };
	int r;

	r = walk_to(&w, path, 0700);
	if (r == 0)
		r = hand_over(
		    &w.fd, w.parent, w.name, &w.st, path, uid, gid, err);
	return leave(&w, r, uid, gid);
}

/* The directory FD has nothing in it, as far as one can see. */
static bool
is_empty(int fd)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *entry;
	DIR *dir;

	if (copy == -1)
		return true;
	dir = fdopendir(copy);
	if (dir == NULL) {
		(void)close(copy);
		return true;
	}
	do
		entry = readdir(dir);
	while (entry != NULL &&
	    (strcmp(entry->d_name, ".") == 0 ||
		strcmp(entry->d_name, "..") == 0));
	(void)closedir(dir);
	return entry == NULL;
}

/* The end of a walk that only looks. */
static int
look_away(struct walk *w, int r)
{
	fd_close(&w->fd);
	fd_close(&w->parent);
	return r < 0 ? r : 0;
}

int
dirs_check_cache(const char *path, uid_t uid, char *err)
{
	struct walk w = { .err = err, .uid = uid, .look = true };
	int r;

	r = walk_to(&w, path, 0);
	if (r == 0)
		r = check_owner(&w.st, path, uid, err);
	if (r == 0 && w.fd != -1 && w.st.st_uid != uid && !is_empty(w.fd))
		r = not_empty(path, err);
	return look_away(&w, r);
}

/* A directory that stays root's. */
static int
check_kept(const struct walk *w, const char *path)
{
	if (!owner_is_ours(w->st.st_uid))
		return fail(w->err, -EPERM,
		    "%s belongs to user %u: it must be root's", path,
		    (unsigned int)w->st.st_uid);
	if (others_write(&w->st))
		return fail(w->err, -EPERM,
		    "%s is writable for others (mode %04o): chmod go-w it "
		    "after a look at what lies in it",
		    path, (unsigned int)w->st.st_mode & 07777);
	return 0;
}

/* Walk to it and open it. */
static int
open_kept(struct walk *w, const char *path, const char *dir, mode_t mode)
{
	int r = walk_to(w, dir, mode);

	if (r == 0)
		r = check_kept(w, path);
	if (w->look)
		return look_away(w, r);
	return leave(w, r, geteuid(), getegid());
}

int
dirs_open_state(const char *path, char *err)
{
	struct walk w = { .err = err, .uid = geteuid() };

	return open_kept(&w, path, path, 0700);
}

int
dirs_check_state(const char *path, char *err)
{
	struct walk w = { .err = err, .uid = geteuid(), .look = true };

	return open_kept(&w, path, path, 0);
}

int
dirs_open_spool(int state_fd, uid_t uid, gid_t gid, char *err)
{
	_cleanup_fd_ int fd = -1;
	struct stat st;
	int r;

	*err = '\0';
	if (mkdirat(state_fd, "spool", 0700) == -1 && errno != EEXIST)
		return fail(err, -errno,
		    "cannot create spool in AGENT_STATE_DIR: %s",
		    strerror(errno));
	fd = openat(state_fd, "spool", OPEN_WAY);
	if (fd == -1 || fstat(fd, &st) == -1)
		return fail(err, -errno,
		    "cannot open spool in AGENT_STATE_DIR: %s",
		    strerror(errno));
	r = hand_over(&fd, state_fd, "spool", &st, "spool in AGENT_STATE_DIR",
	    uid, gid, err);
	if (r < 0)
		return r;
	r = fsuser_open_dir(fd, uid, gid);
	if (r < 0)
		return fail(err, r, "cannot open spool in AGENT_STATE_DIR: %s",
		    strerror(-r));
	return r;
}

/* The directory of the file PATH, with W. */
static int
walk_to_parent(struct walk *w, const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	char parent[AEGIS_PATH_SIZE];

	*w->err = '\0';
	if (slash == NULL || slash[1] == '\0' ||
	    (size_t)(slash - path) >= sizeof(parent))
		return fail(w->err, -EINVAL, "%s: not a path of a file", path);
	memcpy(parent, path, (size_t)(slash - path));
	parent[slash - path] = '\0';
	*name = slash + 1;
	if (parent[0] == '\0')
		(void)snprintf(parent, sizeof(parent), "/");
	return open_kept(w, path, parent, 0755);
}

int
dirs_open_parent(const char *path, const char **name, char *err)
{
	struct walk w = { .err = err, .uid = geteuid() };

	return walk_to_parent(&w, path, name);
}

int
dirs_check_parent(const char *path, char *err)
{
	struct walk w = { .err = err, .uid = geteuid(), .look = true };
	const char *name;

	return walk_to_parent(&w, path, &name);
}

int
dirs_open_registry(const char *path, char *err)
{
	int fd;

	*err = '\0';
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return fail(err, -errno, "%s: cannot open the directory: %s",
		    path, strerror(errno));
	return fd;
}
