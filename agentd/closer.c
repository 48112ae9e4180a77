/* SPDX-License-Identifier: ISC */
/*
 * The thread that closes what may take long to close.  Jobs go to it and come
 * back as pointers over two pipes; nothing else is shared.
 */
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "agentd/custody.h"
#include "common/attach.h"
#include "common/log.h"

/* So many descriptors that nobody wants may delay what somebody waits for. */
#define UNWANTED_MAX 16

#define JOB_MIN (LOADPLAN_MAX_PROGS + LOADPLAN_MAX_MAPS)

struct job {
	uint64_t cookie;
	size_t count;
	int fds[];
};

struct closer {
	int todo[2];
	int done[2];
	pthread_t thread;
	struct event *event;
	closer_done callback;
	closer_undo undo;
	void *ctx;
	size_t waiting; /* jobs that are not done */
};

static void *
close_jobs(void *arg)
{
	struct closer *closer = arg;
	struct job *job;
	ssize_t n;
	size_t i;

	for (;;) {
		n = read(closer->todo[0], &job, sizeof(job));
		if (n == -1 && errno == EINTR)
			continue;
		if (n != (ssize_t)sizeof(job) || job == NULL)
			return NULL;
		for (i = 0; i < job->count; i++)
			(void)close(job->fds[i]);
		/* Pointers are smaller than PIPE_BUF: written whole. */
		while (write(closer->done[1], &job, sizeof(job)) == -1 &&
		    errno == EINTR)
			continue;
	}
}

static void
handle_done(evutil_socket_t fd, short what, void *arg)
{
	struct closer *closer = arg;
	struct job *job;
	uint64_t cookie;

	while (read(fd, &job, sizeof(job)) == (ssize_t)sizeof(job)) {
		cookie = job->cookie;
		free(job);
		closer->waiting--;
		if (cookie != 0)
			closer->callback(cookie, closer->ctx);
	}
}

int
closer_new(
    struct closer **out, struct event_base *base, closer_done done, void *ctx)
{
	struct closer *closer = calloc(1, sizeof(*closer));
	sigset_t all, old;
	int r;

	if (closer == NULL)
		return -ENOMEM;
	closer->callback = done;
	closer->ctx = ctx;
	if (pipe2(closer->todo, O_CLOEXEC) == -1 ||
	    pipe2(closer->done, O_CLOEXEC) == -1 ||
	    fcntl(closer->done[0], F_SETFL, O_NONBLOCK) == -1)
		return -errno;
	closer->event = event_new(
	    base, closer->done[0], EV_READ | EV_PERSIST, handle_done, closer);
	if (closer->event == NULL || event_add(closer->event, NULL) == -1)
		return -ENOMEM;
	/* Signals are the main thread's. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&closer->thread, NULL, close_jobs, closer);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		return -r;
	*out = closer;
	return 0;
}

void
closer_free(struct closer *closer)
{
	struct job *end = NULL;
	int i;

	if (closer == NULL)
		return;
	if (write(closer->todo[1], &end, sizeof(end)) == (ssize_t)sizeof(end))
		(void)pthread_join(closer->thread, NULL);
	handle_done(closer->done[0], EV_READ, closer);
	event_free(closer->event);
	for (i = 0; i < 2; i++) {
		fd_close(&closer->todo[i]);
		fd_close(&closer->done[i]);
	}
	free(closer);
}

static void
take(struct job *job, int *fd)
{
	if (*fd >= 0)
		job->fds[job->count++] = fd_steal(fd);
}

static void
put_job(struct closer *closer, struct job *job)
{
	while (write(closer->todo[1], &job, sizeof(job)) == -1)
		if (errno != EINTR)
			fatal("closer: %s", strerror(errno));
	closer->waiting++;
}

static void
undo_filter(struct closer *closer, struct custody_link *link, uint64_t cookie)
{
	const struct tc_filter filter = link->filter;

	memset(&link->filter, 0, sizeof(link->filter));
	if (filter.handle != 0 && closer->undo != NULL)
		closer->undo(&filter, cookie, closer->ctx);
}

/* Of a cgroup a program is taken in microseconds, less than waking a thread
 * takes; nothing waits for a grace period. */
static bool
closes_at_once(const struct custody *c, const struct custody_link *link)
{
	const struct loadplan *plan = &c->loadplan;

	return plan->header != NULL &&
	    link->attach < plan->header->attach_count &&
	    attach_row(plan->attaches[link->attach].kind)->method ==
	    METHOD_LINK_CGROUP;
}

static void
hand_over(struct closer *closer, struct custody *c, uint64_t cookie, bool all)
{
	struct job *job = calloc(
	    1, sizeof(*job) + (JOB_MIN + c->link_count) * sizeof(job->fds[0]));
	size_t i;

	if (job == NULL)
		fatal("out of memory");
	job->cookie = cookie;
	for (i = 0; i < c->link_count; i++) {
		if (closes_at_once(c, &c->links[i]))
			fd_close(&c->links[i].fd);
		take(job, &c->links[i].fd);
		undo_filter(closer, &c->links[i], cookie);
	}
	c->link_count = 0;
	for (i = 0; all && i < nitems(c->progs); i++)
		take(job, &c->progs[i]);
	for (i = 0; all && i < nitems(c->maps); i++)
		take(job, &c->maps[i]);
	if (job->count == 0 && cookie == 0) {
		free(job);
		return;
	}
	put_job(closer, job);
}

static void
close_one(struct closer *closer, int fd, uint64_t cookie)
{
	struct job *job = calloc(1, sizeof(*job) + sizeof(job->fds[0]));

	if (job == NULL)
		fatal("out of memory");
	job->cookie = cookie;
	job->fds[job->count++] = fd;
	put_job(closer, job);
}

void
closer_close_fd(struct closer *closer, int fd)
{
	if (fd >= 0)
		close_one(closer, fd, 0);
}

void
closer_close_unwanted(struct closer *closer, int fd)
{
	if (closer->waiting < UNWANTED_MAX)
		closer_close_fd(closer, fd);
	else
		fd_close(&fd);
}

void
closer_close_link(struct closer *closer, struct custody_link *link)
{
	undo_filter(closer, link, 0);
	closer_close_fd(closer, fd_steal(&link->fd));
}

void
closer_close_link_first(
    struct closer *closer, struct custody_link *link, uint64_t cookie)
{
	close_one(closer, fd_steal(&link->fd), cookie);
}

void
closer_set_undo(struct closer *closer, closer_undo undo)
{
	closer->undo = undo;
}

void
closer_close(struct closer *closer, struct custody *c, uint64_t cookie)
{
	hand_over(closer, c, cookie, true);
}

void
closer_detach(struct closer *closer, struct custody *c, uint64_t cookie)
{
	hand_over(closer, c, cookie, false);
}
