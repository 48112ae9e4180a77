/* SPDX-License-Identifier: ISC */
#include "fetchd/filetree.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#include "common/fdio.h"

#define CHUNK (256u << 10)

int
filetree_open(int root, const char *path, struct stat *st)
{
	struct open_how how = {
		/* Not to hang on a FIFO that somebody put there. */
		.flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	_cleanup_fd_ int fd = -1;

	while (*path == '/')
		path++;
	fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	if (fd == -1)
		return -errno;
	if (fstat(fd, st) == -1)
		return -errno;
	if (!S_ISREG(st->st_mode))
		return -EINVAL;
	return fd_steal(&fd);
}

int
filetree_read(int fd, size_t max, char **data, size_t *len)
{
	_cleanup_free_ char *buf = NULL;
	struct stat st;
	size_t room, used = 0;
	ssize_t n;

	if (fstat(fd, &st) == -1)
		return -errno;
	if (st.st_size < 0 || (uint64_t)st.st_size > max)
		return -EFBIG;
	/* One byte more shows that it grew meanwhile. */
	room = (size_t)st.st_size + 1;
	buf = malloc(room);
	if (buf == NULL)
		return -ENOMEM;
	while (used < room) {
		n = read(fd, buf + used, room - used);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -errno;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	if (used == room)
		return -EAGAIN;
	*data = buf;
	buf = NULL;
	*len = used;
	return 0;
}

int64_t
filetree_copy(int fd, int out, uint64_t max)
{
	_cleanup_free_ char *buf = malloc(CHUNK);
	uint64_t done = 0;
	ssize_t n;
	int r;

	if (buf == NULL)
		return -ENOMEM;
	for (;;) {
		n = read(fd, buf, CHUNK);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -errno;
		if (n == 0)
			return (int64_t)done;
		done += (uint64_t)n;
		if (done > max)
			return -EFBIG;
		r = fd_write_all(out, buf, (size_t)n);
		if (r < 0)
			return r;
	}
}

bool
filetree_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	    a->st_size == b->st_size &&
	    a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	    a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	    a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	    a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}
