/* SPDX-License-Identifier: ISC */
#include "fetchd/download.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <string.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "common/fdio.h"
#include "common/log.h"
#include "common/memfd.h"
#include "fetchd/filetree.h"
#include "fetchd/url.h"

#define AT_A_TIME 4

/* More than a list can name, twice over, is a fault of agentd's. */
#define QUEUE_MAX (2 * AEGIS_LIST_ENTRIES)

static const struct http_limits artifact_limits = {
	.body_max = AEGIS_ARTIFACT_MAX,
	.connect_timeout_ms = 10000,
	.total_timeout_ms = 600000,
	.min_rate = 4096,
	.min_rate_sec = 15,
};

struct download {
	TAILQ_ENTRY(download) entry;
	struct downloads *all;
	uint64_t handle;
	struct msg_fetch_artifact want;
	struct http_request *request; /* NULL: waits its turn */
	int fd;                       /* the memfd being filled */
	int64_t started_ns;
};

TAILQ_HEAD(download_list, download);

struct downloads {
	const struct source *src;
	struct event pump;
	struct download_list waiting;
	struct download_list running;
	uint32_t waiting_count;
	uint32_t running_count;
};

static void
free_download(struct download *one)
{
	fd_close(&one->fd);
	free(one);
}

/* ---- answers ---- */

static void
send_done(struct download *one, struct msg_fetch_done *m, int fd)
{
	struct worker *w = one->all->src->worker;
	int r;

	m->duration_us = (uint64_t)(clock_boot_ns() - one->started_ns) / 1000;
	r = msg_send_FETCH_DONE(w->agentd, one->handle, m, fd);
	/* agentd would wait for this answer for ever. */
	if (r < 0 && r != -EPIPE)
		worker_fail(w);
}

static void
answer_failed(struct download *one, enum work_result result, const char *error)
{
	struct msg_fetch_done m = { .result = result };

	str_copy_cut(m.error, sizeof(m.error), error);
	str_scrub(m.error, sizeof(m.error));
	send_done(one, &m, -1);
}

static bool
has_checksum(const struct download *one)
{
	static const uint8_t none[AEGIS_SHA256_SIZE];

	return memcmp(one->want.sha256, none, sizeof(none)) != 0;
}

/* The bytes are all there, in the memfd. */
static void
answer_fetched(struct download *one, uint64_t size)
{
	struct msg_fetch_done m = { .result = WORK_OK, .size = size };
	struct cache *cache = one->all->src->cache;
	_cleanup_fd_ int copy = -1;
	char error[AEGIS_TEXT_SIZE];
	int r;

	r = memfd_seal(one->fd);
	if (r < 0) {
		(void)snprintf(error, sizeof(error),
		    "cannot seal the artifact: %s", strerror(-r));
		answer_failed(one, WORK_TRANSIENT, error);
		return;
	}
	if (cache != NULL && has_checksum(one))
		copy = fcntl(one->fd, F_DUPFD_CLOEXEC, 0);
	send_done(one, &m, fd_steal(&one->fd));
	/* After the answer: a slow disk must not delay the program. */
	if (copy >= 0)
		cache_put(cache, one->want.sha256, copy, size);
}

/* ---- sources ---- */

static bool
try_cache(struct download *one)
{
	struct msg_fetch_done m = { .result = WORK_OK, .from_cache = 1 };
	struct cache *cache = one->all->src->cache;
	int fd;

	if (cache == NULL || !has_checksum(one))
		return false;
	fd = cache_get(cache, one->want.sha256, &m.size);
	if (fd < 0)
		return false;
	send_done(one, &m, fd);
	return true;
}

static void
fetch_file(struct download *one)
{
	const struct source *src = one->all->src;
	char path[AEGIS_URL_SIZE] = "", error[AEGIS_URL_SIZE + 128];
	_cleanup_fd_ int fd = -1;
	struct stat st;
	int64_t n;

	n = url_fill(path, sizeof(path), src->config->binary_path,
	    one->want.artifact_id, src->config->host_id, false);
	if (n == 0)
		n = fd = filetree_open(src->root, path, &st);
	if (n >= 0)
		n = filetree_copy(fd, one->fd, AEGIS_ARTIFACT_MAX);
	if (n == -EFBIG)
		(void)snprintf(error, sizeof(error),
		    "longer than the allowed %u bytes (%s)", AEGIS_ARTIFACT_MAX,
		    path);
	else if (n < 0)
		(void)snprintf(error, sizeof(error),
		    "%s (%s beneath the registry's directory)",
		    n == -EINVAL ? "no regular file" : strerror((int)-n), path);
	else if (one->want.expected_size != 0 &&
	    (uint64_t)n != one->want.expected_size)
		(void)snprintf(error, sizeof(error),
		    "%lld bytes where the list says %llu (%s)", (long long)n,
		    (unsigned long long)one->want.expected_size, path);
	else {
		answer_fetched(one, (uint64_t)n);
		return;
	}
	answer_failed(one, n == -EFBIG ? WORK_REFUSED : WORK_TRANSIENT, error);
}

static int
take_body(const void *data, size_t len, void *ctx)
{
	struct download *one = ctx;

	return fd_write_all(one->fd, data, len);
}

static void
handle_answer(const struct http_answer *answer, void *ctx)
{
	struct download *one = ctx;
	struct downloads *d = one->all;

	one->request = NULL;
	if (answer->result < 0)
		answer_failed(one,
		    answer->result == -EFBIG ? WORK_REFUSED : WORK_TRANSIENT,
		    answer->error);
	else
		answer_fetched(one, answer->size);
	TAILQ_REMOVE(&d->running, one, entry);
	d->running_count--;
	free_download(one);
	event_active(&d->pump, EV_TIMEOUT, 0);
}

static int
fetch_http(struct download *one)
{
	const struct source *src = one->all->src;
	char url[AEGIS_URL_SIZE + 2 * AEGIS_PATH_SIZE];
	struct http_get get = {
		.url = url,
		.limits = &artifact_limits,
		.body_expected = one->want.expected_size,
		.body = take_body,
		.done = handle_answer,
		.ctx = one,
	};
	int r;

	r = str_copy(url, sizeof(url), src->config->url);
	if (r == 0)
		r = url_fill(url, sizeof(url), src->config->binary_path,
		    one->want.artifact_id, src->config->host_id, true);
	if (r == 0)
		r = http_start(src->http, &get, &one->request);
	return r;
}

/* Start ONE, which is in no list.  True: it runs; false: it is answered. */
static bool
start(struct download *one)
{
	char error[AEGIS_TEXT_SIZE];
	int r;

	if (try_cache(one))
		return false;
	if (one->want.expected_size > AEGIS_ARTIFACT_MAX) {
		(void)snprintf(error, sizeof(error),
		    "size: the list says %llu bytes, at most %u are allowed",
		    (unsigned long long)one->want.expected_size,
		    AEGIS_ARTIFACT_MAX);
		answer_failed(one, WORK_REFUSED, error);
		return false;
	}
	one->fd = memfd_create_buffer("artifact");
	r = one->fd < 0 ? one->fd : 0;
	if (r == 0 && one->all->src->http == NULL) {
		fetch_file(one);
		return false;
	}
	if (r == 0)
		r = fetch_http(one);
	if (r == 0)
		return true;
	(void)snprintf(error, sizeof(error), "cannot start the download: %s",
	    strerror(-r));
	answer_failed(one, WORK_TRANSIENT, error);
	return false;
}

/* One a round, so that messages and answers get their turn in between. */
static void
handle_pump(evutil_socket_t fd, short what, void *arg)
{
	struct downloads *d = arg;
	struct download *one = TAILQ_FIRST(&d->waiting);

	if (one == NULL || d->running_count == AT_A_TIME)
		return;
	TAILQ_REMOVE(&d->waiting, one, entry);
	d->waiting_count--;
	if (start(one)) {
		TAILQ_INSERT_TAIL(&d->running, one, entry);
		d->running_count++;
	} else {
		free_download(one);
	}
	if (!TAILQ_EMPTY(&d->waiting))
		event_active(&d->pump, EV_TIMEOUT, 0);
}

/* ---- the queue ---- */

static struct download *
find(struct download_list *list, uint64_t handle)
{
	struct download *one;

	TAILQ_FOREACH (one, list, entry)
		if (one->handle == handle)
			return one;
	return NULL;
}

int
downloads_add(
    struct downloads *d, uint64_t handle, const struct msg_fetch_artifact *want)
{
	struct download *one;

	if (!MSG_ID_OK(want->artifact_id) || d->waiting_count == QUEUE_MAX ||
	    find(&d->waiting, handle) != NULL ||
	    find(&d->running, handle) != NULL)
		return -EINVAL;
	one = calloc(1, sizeof(*one));
	if (one == NULL)
		return -ENOMEM;
	one->all = d;
	one->handle = handle;
	one->want = *want;
	one->fd = -1;
	one->started_ns = clock_boot_ns();
	TAILQ_INSERT_TAIL(&d->waiting, one, entry);
	d->waiting_count++;
	event_active(&d->pump, EV_TIMEOUT, 0);
	return 0;
}

void
downloads_cancel(struct downloads *d, uint64_t handle)
{
	struct download *one = find(&d->waiting, handle);

	if (one != NULL) {
		TAILQ_REMOVE(&d->waiting, one, entry);
		d->waiting_count--;
		free_download(one);
		return;
	}
	one = find(&d->running, handle);
	if (one == NULL)
		return;
	http_cancel(one->request);
	TAILQ_REMOVE(&d->running, one, entry);
	d->running_count--;
	free_download(one);
	event_active(&d->pump, EV_TIMEOUT, 0);
}

int
downloads_new(struct downloads **out, const struct source *src)
{
	struct downloads *d = calloc(1, sizeof(*d));

	*out = NULL;
	if (d == NULL)
		return -ENOMEM;
	d->src = src;
	TAILQ_INIT(&d->waiting);
	TAILQ_INIT(&d->running);
	if (evtimer_assign(&d->pump, src->worker->base, handle_pump, d) != 0) {
		free(d);
		return -ENOMEM;
	}
	*out = d;
	return 0;
}

void
downloads_free(struct downloads *d)
{
	struct download *one;

	if (d == NULL)
		return;
	while ((one = TAILQ_FIRST(&d->waiting)) != NULL) {
		TAILQ_REMOVE(&d->waiting, one, entry);
		free_download(one);
	}
	while ((one = TAILQ_FIRST(&d->running)) != NULL) {
		TAILQ_REMOVE(&d->running, one, entry);
		http_cancel(one->request);
		free_download(one);
	}
	(void)event_del(&d->pump);
	free(d);
}
