/* SPDX-License-Identifier: ISC */
#include "common/listenfds.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>

#include "common/strnum.h"

#define FIRST_FD  3
#define COUNT_MAX 65536

/* The next of the names, which stand between colons. */
static void
next_name(const char **names, char *out)
{
	size_t len = strcspn(*names, ":");
	size_t n = len < LISTENFDS_NAME_SIZE ? len : LISTENFDS_NAME_SIZE - 1;

	memcpy(out, *names, n);
	out[n] = '\0';
	str_scrub(out, LISTENFDS_NAME_SIZE);
	*names += len;
	if (**names == ':')
		(*names)++;
}

static int
take(uint64_t n, const char *names, struct listenfd **out, size_t *count)
{
	_cleanup_free_ struct listenfd *list = NULL;
	uint64_t i;

	for (i = 0; i < n; i++)
		if (fcntl(FIRST_FD + (int)i, F_SETFD, FD_CLOEXEC) == -1)
			return -EINVAL;
	list = calloc(n, sizeof(*list));
	if (list == NULL)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		list[i].fd = FIRST_FD + (int)i;
		next_name(&names, list[i].name);
	}
	*count = n;
	*out = list;
	list = NULL;
	return 0;
}

int
listenfds_take(struct listenfd **out, size_t *count)
{
	const char *pid = getenv("LISTEN_PID");
	const char *fds = getenv("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");
	uint64_t p, n;
	int r = 0;

	*out = NULL;
	*count = 0;
	if (pid != NULL && fds != NULL) {
		if (strnum_parse_u64(pid, 1, INT32_MAX, &p) < 0 ||
		    strnum_parse_u64(fds, 0, COUNT_MAX, &n) < 0)
			r = -EINVAL;
		else if ((pid_t)p == getpid() && n > 0)
			r = take(n, names != NULL ? names : "", out, count);
	}
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	return r;
}
