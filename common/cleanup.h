/* SPDX-License-Identifier: ISC */
/*
 * Locals that release themselves at the end of their scope.
 */
#ifndef COMMON_CLEANUP_H
#define COMMON_CLEANUP_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f)   __attribute__((cleanup(f)))
#define _must_check_   __attribute__((warn_unused_result))
#define _printf_(a, b) __attribute__((format(printf, a, b)))

/* Close and forget; keeps errno, and -1 is no descriptor. */
static inline void
fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
	errno = saved;
}

/* Another descriptor of the same open file; -1 for none, or with errno. */
static inline int
fd_copy(int fd)
{
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

/* Hand the descriptor on: the local no longer owns it. */
static inline int
fd_steal(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

static inline void
cleanup_freep(void *p)
{
	free(*(void **)p);
}

static inline void
cleanup_fclosep(FILE **f)
{
	if (*f != NULL)
		(void)fclose(*f);
}

#define _cleanup_fd_   _cleanup_(fd_close)
#define _cleanup_free_ _cleanup_(cleanup_freep)
#define _cleanup_file_ _cleanup_(cleanup_fclosep)

#define nitems(a) (sizeof(a) / sizeof((a)[0]))

#endif
