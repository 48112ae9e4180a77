/* SPDX-License-Identifier: ISC */
/* bpfd: the loader's thread: what runs when, and where it comes back. */
#include <event2/event.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <string.h>

#include "bpfd/kernel.h"
#include "bpfd/queue.h"
#include "tests/unit/unit.h"

#define JOBS 6

struct work {
	struct job job; /* first */
	char name;
	bool holds; /* run() waits for GO */
	bool naps;  /* run() takes a while */
	bool last;  /* ends the loop when it is done */
	unsigned int discarded;
};

static const struct kernel kernel;
static struct event_base *base;
static struct queue *queue;
static struct work works[JOBS];
static sem_t began, go;
static pthread_t loader, looper;
/* Names, in the order of what happened; read when the thread waits. */
static char ran[JOBS + 1], done[JOBS + 1];

static void
append(char *to, char name)
{
	to += strlen(to);
	*to = name;
}

static void
run(struct job *job, const struct kernel *k)
{
	struct work *w = (struct work *)job;

	ck_assert_ptr_eq(k, &kernel);
	loader = pthread_self();
	append(ran, w->name);
	if (w->naps)
		(void)usleep(5000);
	if (!w->holds)
		return;
	(void)sem_post(&began);
	while (sem_wait(&go) == -1)
		continue;
}

static void
finish(struct job *job, void *ctx)
{
	struct work *w = (struct work *)job;

	ck_assert_ptr_eq(ctx, works);
	looper = pthread_self();
	append(done, w->name);
	if (w->last)
		(void)event_base_loopbreak(base);
}

static void
discard(struct job *job)
{
	((struct work *)job)->discarded++;
}

static void
setup(void)
{
	size_t i;

	memset(works, 0, sizeof(works));
	memset(ran, 0, sizeof(ran));
	memset(done, 0, sizeof(done));
	for (i = 0; i < JOBS; i++) {
		works[i].job = (struct job){
			.run = run,
			.done = finish,
			.discard = discard,
		};
		works[i].name = (char)('a' + i);
	}
	ck_assert_int_eq(sem_init(&began, 0, 0), 0);
	ck_assert_int_eq(sem_init(&go, 0, 0), 0);
	base = event_base_new();
	ck_assert_ptr_nonnull(base);
	ck_assert_int_eq(queue_start(&queue, base, &kernel, works), 0);
}

static void
teardown(void)
{
	event_base_free(base);
	(void)sem_destroy(&began);
	(void)sem_destroy(&go);
}

/* "a" is being run, until GO. */
static void
occupy(void)
{
	works[0].holds = true;
	queue_put(queue, &works[0].job);
	while (sem_wait(&began) == -1)
		continue;
}

START_TEST (in_order_but_what_goes_first) {
	occupy();
	queue_put(queue, &works[1].job);
	queue_put(queue, &works[2].job);
	queue_put_first(queue, &works[3].job);
	works[2].last = true;
	ck_assert_str_eq(ran, "a");
	(void)sem_post(&go);
	ck_assert_int_eq(event_base_dispatch(base), 0);
	queue_stop(queue);
	ck_assert_str_eq(ran, "adbc");
	ck_assert_str_eq(done, "adbc");
	ck_assert(pthread_equal(looper, pthread_self()));
	ck_assert(!pthread_equal(loader, pthread_self()));
}
END_TEST

START_TEST (what_has_ended_comes_back_while_the_next_runs) {
	works[0].last = true;
	queue_put(queue, &works[0].job);
	works[1].holds = true;
	queue_put(queue, &works[1].job);
	ck_assert_int_eq(event_base_dispatch(base), 0);
	ck_assert_str_eq(done, "a");
	(void)sem_post(&go);
	queue_stop(queue);
	/* Whether it ended before or waits to be told, it is let go once. */
	ck_assert_uint_eq(works[0].discarded, 0);
	ck_assert_uint_eq(works[1].discarded, 1);
	ck_assert_str_eq(done, "a");
}
END_TEST

START_TEST (what_is_not_done_is_discarded_once) {
	size_t i;

	occupy();
	for (i = 1; i < JOBS; i++) {
		works[i].naps = true; /* so that some are not run */
		queue_put(queue, &works[i].job);
	}
	(void)sem_post(&go);
	queue_stop(queue);
	for (i = 0; i < JOBS; i++)
		ck_assert_uint_eq(works[i].discarded, 1);
	ck_assert_str_eq(done, "");
	/* Each of them was run before those behind it, or not at all. */
	ck_assert_msg(strncmp(ran, "abcdef", strlen(ran)) == 0, "%s", ran);
	queue_stop(NULL);
}
END_TEST

UNIT_FIXTURE_MAIN("bpf_queue", setup, teardown, in_order_but_what_goes_first,
    what_has_ended_comes_back_while_the_next_runs,
    what_is_not_done_is_discarded_once)
