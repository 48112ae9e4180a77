/* SPDX-License-Identifier: ISC */
/*
 * telemd: events to NATS, rollback signals from it.  Start-up and dispatch.
 */
#include "telemd/telemd.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/memfd.h"

#define STATE_PERIOD_SEC 2

/*
 * What a broker says is read by nats.c, which takes a line or a message of
 * any length: this bounds it, and it loses its connection.  Stacks of a dozen
 * threads, the signals that wait in nats.c (64 MiB a subject) and what we
 * hold ourselves are less than half of it.  Besides, a mark for each event in
 * the spool.
 */
#define DATA_MAX(spool_max) ((UINT64_C(512) << 20) + (spool_max) / 16)

/*
 * Batches come and go a hundred times a second: what they used stays with the
 * process, else every page of the next one is a fault.
 */
#define MALLOC_KEEP (8 << 20)
#define MALLOC_MMAP (2 << 20)

/* How long the end may take: the last events get this much time. */
#define STOP_SEC 2

static void
report_state(struct telemd *t, bool always)
{
	struct pipeline *p = &t->pipeline;
	struct msg_telem_state m = { 0 };
	int r;

	(void)pthread_mutex_lock(&p->mu);
	m.connected = p->connected;
	m.reconnects = p->reconnects;
	m.bad_signals = p->bad_signals;
	memcpy(m.sent, p->sent, sizeof(m.sent));
	memcpy(m.dropped, p->dropped, sizeof(m.dropped));
	m.spool_full = p->spool_full;
	str_copy_cut(m.error, sizeof(m.error), p->error);
	(void)pthread_mutex_unlock(&p->mu);
	str_scrub(m.error, sizeof(m.error));
	m.dropped[EVENT_VIOLATION_REPORT] =
	    rings_count_lost(t, m.dropped[EVENT_VIOLATION_REPORT]);
	m.violations_suppressed = t->rings.suppressed;
	spool_usage(&t->spool, &m.spooled_bytes, &m.spooled_events);
	if (!always && m.connected == t->last_state.connected &&
	    m.spool_full == t->last_state.spool_full &&
	    strcmp(m.error, t->last_state.error) == 0)
		return;
	t->last_state = m;
	r = msg_send_TELEM_STATE(t->worker.agentd, 0, &m);
	if (r < 0 && r != -EPIPE)
		log_warn("cannot report to agentd: %s", strerror(-r));
}

static void
handle_state_timer(evutil_socket_t fd, short what, void *arg)
{
	report_state(arg, true);
}

static void
write_notes(struct telemd *t)
{
	struct pipeline *p = &t->pipeline;
	struct note_list list = STAILQ_HEAD_INITIALIZER(list);
	struct note *n;

	(void)pthread_mutex_lock(&p->mu);
	STAILQ_CONCAT(&list, &p->notes);
	(void)pthread_mutex_unlock(&p->mu);
	while ((n = STAILQ_FIRST(&list)) != NULL) {
		STAILQ_REMOVE_HEAD(&list, entry);
		log_line(n->level, NULL, n->error, "%s", n->text);
		free(n);
	}
}

/* One of the threads, or nats.c, has something for the main thread. */
static void
handle_wake(evutil_socket_t fd, short what, void *arg)
{
	struct telemd *t = arg;
	uint64_t count;

	if (read(t->pipeline.main_wake, &count, sizeof(count)) == -1 &&
	    errno != EAGAIN && errno != EINTR)
		log_error("eventfd: %s", strerror(errno));
	write_notes(t);
	rings_release(t);
	events_report_accepted(t);
	signals_forward(t);
	report_state(t, false);
}

static int
handle_config(struct imsg *m, void *ctx)
{
	struct telemd *t = ctx;
	const struct msg_telem_config *c = msg_get_TELEM_CONFIG(m);

	if (t->configured || !MSG_ID_OK(c->subject) || !MSG_ID_OK(c->host_id) ||
	    !MSG_TEXT_OK(c->agent_version) || !MSG_TEXT_OK(c->url) ||
	    (c->stream[0] != '\0' && !MSG_ID_OK(c->stream)))
		return -EINVAL;
	t->configured = true;
	t->violation_rate = c->violation_rate;
	t->spool_max_bytes = c->spool_max_bytes;
	t->next_seq = c->next_seq;
	if (str_copy(t->agent_version, sizeof(t->agent_version),
		c->agent_version) < 0 ||
	    str_copy(t->publisher.subject, sizeof(t->publisher.subject),
		c->subject) < 0)
		return -EINVAL;
	return broker_configure(&t->broker, &t->pipeline, c);
}

static int
handle_secret(struct imsg *m, void *ctx)
{
	struct telemd *t = ctx;
	const struct msg_secret *secret = msg_get_SECRET(m);
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	int r;

	if (secret->kind >= SECRET_MAX || t->threads_running)
		return -EINVAL;
	r = memfd_map(m->fd, AEGIS_SECRET_MAX, &map);
	if (r < 0)
		return r;
	if (map.len == 0)
		return -EINVAL;
	if (secret->kind == SECRET_URL)
		return broker_set_urls(&t->broker, map.data, map.len);
	return broker_set_secret(
	    &t->broker, (enum secret_kind)secret->kind, map.data, map.len);
}

static int
handle_spool(struct imsg *m, void *ctx)
{
	struct telemd *t = ctx;

	if (t->spool_dir != -1)
		return -EINVAL;
	t->spool_dir = imsg_take_fd(m);
	return 0;
}

_Static_assert(AEGIS_NATS_URLS <= SANDBOX_MAX_PORTS,
    "the sandbox takes a port for each server");

static int
telemd_start(struct worker *w)
{
	struct telemd *t = w->ctx;
	int i, r;

	if (!t->configured || t->broker.url_count == 0) {
		log_error("no NATS URL was configured");
		return -EINVAL;
	}
	signals_init(t);
	r = sandbox_limit_data(DATA_MAX(t->spool_max_bytes));
	if (r == 0)
		r = events_open_spool(t);
	if (r == 0 && t->spool_dir != -1)
		r = sandbox_grant_dir(&w->grants, t->spool_dir, true);
	for (i = 0; r == 0 && i < t->broker.url_count; i++)
		r = sandbox_grant_connect(
		    &w->grants, broker_port(&t->broker, i));
	if (r < 0)
		return r;
	/*
	 * OpenSSL reads its configuration file: now, or not at all.  It leaves
	 * no exit handler: as it begins before nats.c its handler would run
	 * after that of nats.c, which frees OpenSSL's list of compression
	 * methods with sk_SSL_COMP_free() and leaves the pointer to it, so that
	 * OPENSSL_cleanup() frees it again (seen with 3.4.1 in valgrind, told
	 * as nats.c issue 904).
	 */
	if (OPENSSL_init_crypto(
		OPENSSL_INIT_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL) != 1)
		log_warn("OpenSSL could not read its configuration");
	return 0;
}

static int
start_threads(struct telemd *t)
{
	int i, r;

	t->publisher.pipeline = &t->pipeline;
	t->publisher.broker = &t->broker;
	t->publisher.spool = t->store.spool = &t->spool;
	t->publisher.seqstate = t->store.seqstate = &t->seqstate;
	t->store.pipeline = &t->pipeline;
	for (i = 0; i < SPOOL_STREAMS; i++) {
		t->publisher.sources[i].buf = malloc(SPOOL_READ_SIZE);
		if (t->publisher.sources[i].buf == NULL)
			return -ENOMEM;
	}
	r = -pthread_create(&t->store_thread, NULL, store_run, &t->store);
	if (r < 0)
		return r;
	r = -pthread_create(
	    &t->publish_thread, NULL, publish_run, &t->publisher);
	if (r < 0)
		return r;
	t->threads_running = true;
	return 0;
}

static int
telemd_run(struct worker *w)
{
	static const struct timeval period = { .tv_sec = STATE_PERIOD_SEC };
	struct telemd *t = w->ctx;
	int r;

	t->wake_event = event_new(w->base, t->pipeline.main_wake,
	    EV_READ | EV_PERSIST, handle_wake, t);
	t->state_event =
	    event_new(w->base, -1, EV_PERSIST, handle_state_timer, t);
	if (t->wake_event == NULL || t->state_event == NULL ||
	    event_add(t->wake_event, NULL) == -1 ||
	    event_add(t->state_event, &period) == -1 || rings_init(t) < 0)
		return -ENOMEM;
	r = start_threads(t);
	if (r < 0)
		log_error("cannot start a thread: %s", strerror(-r));
	return r;
}

/* True when both threads ended in time. */
static bool
join_threads(struct telemd *t)
{
	struct timespec until;

	(void)pthread_mutex_lock(&t->pipeline.mu);
	t->pipeline.stop = true;
	(void)pthread_cond_broadcast(&t->pipeline.store_wake);
	(void)pthread_cond_broadcast(&t->pipeline.publish_wake);
	(void)pthread_mutex_unlock(&t->pipeline.mu);
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_SEC;
	return pthread_timedjoin_np(t->store_thread, NULL, &until) == 0 &&
	    pthread_timedjoin_np(t->publish_thread, NULL, &until) == 0;
}

static void
telemd_stop(struct worker *w)
{
	struct telemd *t = w->ctx;

	if (t->threads_running) {
		/* A broker or a disk that does not answer keeps nobody. */
		t->stuck = !join_threads(t);
		events_report_accepted(t);
		rings_release(t);
	}
	if (t->wake_event != NULL)
		event_free(t->wake_event);
	if (t->state_event != NULL)
		event_free(t->state_event);
	rings_free(t);
	signals_free(t);
	fd_close(&t->spool_dir);
	if (!t->stuck)
		events_close_spool(t);
}

static const imsg_handler handlers[MSG_TYPE_MAX] = {
	[MSG_TELEM_CONFIG] = handle_config,
	[MSG_SECRET] = handle_secret,
	[MSG_TELEM_SPOOL] = handle_spool,
	[MSG_EVENT] = events_handle,
	[MSG_RING_ADD] = rings_handle_add,
	[MSG_RING_LOST] = rings_handle_lost,
	[MSG_RING_REMOVE] = rings_handle_remove,
	[MSG_SIGNAL_REPLY] = signals_handle_reply,
};

static const struct worker_ops ops = {
	.handlers = handlers,
	.start = telemd_start,
	.run = telemd_run,
	.stop = telemd_stop,
};

int
main(void)
{
	static struct telemd t = { .spool_dir = -1 };
	int status;

	(void)mallopt(M_TRIM_THRESHOLD, MALLOC_KEEP);
	(void)mallopt(M_MMAP_THRESHOLD, MALLOC_MMAP);
	TAILQ_INIT(&t.pending);
	TAILQ_INIT(&t.rings.list);
	spool_init(&t.spool);
	seqstate_init(&t.seqstate);
	if (pipeline_init(&t.pipeline) < 0)
		return EXIT_FAILURE;
	status = worker_main(&t.worker, PROC_TELEM, &ops, &t);
	/*
	 * Not exit(3): threads of nats.c may still be on their way out, and
	 * one that waits for a broker or a disk would meet exit handlers that
	 * free what it uses.  Nothing is left that the kernel does not free.
	 */
	_exit(status);
}
