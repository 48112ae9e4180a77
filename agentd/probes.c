/* SPDX-License-Identifier: ISC */
#include "agentd/probes.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/attach.h"
#include "common/limits.h"

/*
 * What goes to verifyd is what everybody may read, in the directories that
 * agentd's Landlock domain has for it: this must be no way to read secrets.
 * O_PATH reads nothing, and so may be anywhere.
 */
static int
open_binary(const char *path, bool to_read, char *error, size_t size)
{
	_cleanup_fd_ int fd = -1;
	struct stat st;
	int r;

	fd = open(path,
	    (to_read ? O_RDONLY | O_NONBLOCK | O_NOCTTY : O_PATH) | O_CLOEXEC);
	r = fd == -1 || fstat(fd, &st) == -1 ? -errno : 0;
	if (r == -EACCES && to_read)
		(void)snprintf(error, size,
		    "symbols are looked up in files below /usr, /opt, /bin, "
		    "/sbin and /lib only, and \"%s\" is not there: give an "
		    "\"offset\" in the file instead of the symbol",
		    path);
	else if (r < 0)
		(void)snprintf(
		    error, size, "binary \"%s\": %s", path, strerror(-r));
	if (r < 0)
		return r;
	if (!S_ISREG(st.st_mode) || (to_read && !(st.st_mode & S_IROTH))) {
		(void)snprintf(error, size, "binary \"%s\" is %s", path,
		    S_ISREG(st.st_mode)
			? "not readable by everybody: give an \"offset\" in "
			  "the file instead of the symbol"
			: "no regular file");
		return -EACCES;
	}
	return fd_steal(&fd);
}

int
probes_open(
    const struct loadplan *plan, struct probes **out, char *error, size_t size)
{
	const struct loadplan_attach *a;
	struct probes *p = NULL;
	char path[AEGIS_TARGET_SIZE];
	uint32_t i, j;
	int fd;

	*out = NULL;
	for (i = 0; i < plan->header->attach_count; i++) {
		a = &plan->attaches[i];
		if (attach_row(a->kind)->target != TARGET_BINARY)
			continue;
		if (p == NULL) {
			p = calloc(1, sizeof(*p));
			if (p == NULL)
				return -ENOMEM;
			for (j = 0; j < nitems(p->sites); j++)
				p->sites[j].fd = -1;
		}
		memcpy(path, a->target, a->name_len);
		path[a->name_len] = '\0';
		fd = open_binary(path, a->symbols_len > 0, error, size);
		if (fd < 0) {
			probes_free(&p);
			return fd;
		}
		p->sites[i].fd = fd;
		p->sites[i].offset = a->offset;
		p->sites[i].waiting = a->symbols_len > 0;
		p->waiting += p->sites[i].waiting;
	}
	*out = p;
	return 0;
}

void
probes_free(struct probes **p)
{
	size_t i;

	if (*p == NULL)
		return;
	for (i = 0; i < nitems((*p)->sites); i++)
		fd_close(&(*p)->sites[i].fd);
	free(*p);
	*p = NULL;
}
