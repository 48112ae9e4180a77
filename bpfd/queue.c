/* SPDX-License-Identifier: ISC */
#include "bpfd/queue.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>

struct queue {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct job_list waiting;  /* under the lock, */
	struct job_list finished; /* this, */
	bool stopping;            /* and this */
	int event_fd;             /* written when something is finished */
	struct event *event;
	const struct kernel *kernel;
	void *ctx;
};

static void *
run_loader(void *arg)
{
	struct queue *q = arg;
	struct job *job;

	(void)pthread_mutex_lock(&q->lock);
	while (!q->stopping) {
		job = TAILQ_FIRST(&q->waiting);
		if (job == NULL) {
			(void)pthread_cond_wait(&q->wake, &q->lock);
			continue;
		}
		TAILQ_REMOVE(&q->waiting, job, queue);
		(void)pthread_mutex_unlock(&q->lock);
		job->run(job, q->kernel);
		(void)pthread_mutex_lock(&q->lock);
		TAILQ_INSERT_TAIL(&q->finished, job, queue);
		/* Cannot fail: the counter is read long before it is full. */
		(void)eventfd_write(q->event_fd, 1);
	}
	(void)pthread_mutex_unlock(&q->lock);
	return NULL;
}

static struct job *
take_finished(struct queue *q)
{
	struct job *job;

	(void)pthread_mutex_lock(&q->lock);
	job = TAILQ_FIRST(&q->finished);
	if (job != NULL)
		TAILQ_REMOVE(&q->finished, job, queue);
	(void)pthread_mutex_unlock(&q->lock);
	return job;
}

static void
handle_finished(evutil_socket_t fd, short what, void *arg)
{
	struct queue *q = arg;
	struct job *job;
	eventfd_t count;

	(void)eventfd_read(fd, &count);
	while ((job = take_finished(q)) != NULL)
		job->done(job, q->ctx);
}

static void
queue_free(struct queue *q)
{
	struct job *job;

	while ((job = TAILQ_FIRST(&q->waiting)) != NULL) {
		TAILQ_REMOVE(&q->waiting, job, queue);
		job->discard(job);
	}
	while ((job = TAILQ_FIRST(&q->finished)) != NULL) {
		TAILQ_REMOVE(&q->finished, job, queue);
		job->discard(job);
	}
	if (q->event != NULL)
		event_free(q->event);
	fd_close(&q->event_fd);
	(void)pthread_cond_destroy(&q->wake);
	(void)pthread_mutex_destroy(&q->lock);
	free(q);
}

int
queue_start(struct queue **out, struct event_base *base, const struct kernel *k,
    void *ctx)
{
	struct queue *q = calloc(1, sizeof(*q));
	int r;

	if (q == NULL)
		return -ENOMEM;
	TAILQ_INIT(&q->waiting);
	TAILQ_INIT(&q->finished);
	(void)pthread_mutex_init(&q->lock, NULL);
	(void)pthread_cond_init(&q->wake, NULL);
	q->kernel = k;
	q->ctx = ctx;
	q->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->event_fd == -1) {
		r = -errno;
		queue_free(q);
		return r;
	}
	q->event = event_new(
	    base, q->event_fd, EV_READ | EV_PERSIST, handle_finished, q);
	if (q->event == NULL || event_add(q->event, NULL) == -1) {
		queue_free(q);
		return -ENOMEM;
	}
	r = pthread_create(&q->thread, NULL, run_loader, q);
	if (r != 0) {
		queue_free(q);
		return -r;
	}
	*out = q;
	return 0;
}

void
queue_put(struct queue *q, struct job *job)
{
	(void)pthread_mutex_lock(&q->lock);
	TAILQ_INSERT_TAIL(&q->waiting, job, queue);
	(void)pthread_cond_signal(&q->wake);
	(void)pthread_mutex_unlock(&q->lock);
}

void
queue_put_first(struct queue *q, struct job *job)
{
	(void)pthread_mutex_lock(&q->lock);
	TAILQ_INSERT_HEAD(&q->waiting, job, queue);
	(void)pthread_cond_signal(&q->wake);
	(void)pthread_mutex_unlock(&q->lock);
}

void
queue_stop(struct queue *q)
{
	if (q == NULL)
		return;
	(void)pthread_mutex_lock(&q->lock);
	q->stopping = true;
	(void)pthread_cond_signal(&q->wake);
	(void)pthread_mutex_unlock(&q->lock);
	(void)pthread_join(q->thread, NULL);
	queue_free(q);
}
