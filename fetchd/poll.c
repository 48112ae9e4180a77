/* SPDX-License-Identifier: ISC */
#include "fetchd/poll.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/evp.h>
#include <string.h>

#include "common/artlist.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/memfd.h"
#include "fetchd/complaints.h"
#include "fetchd/filetree.h"
#include "fetchd/reglist.h"
#include "fetchd/schedule.h"
#include "fetchd/url.h"

#define LIST_PATH "/artifacts/for-host/{host_id}"

static const struct http_limits list_limits = {
	.body_max = AEGIS_LIST_MAX,
	.connect_timeout_ms = 10000,
	.total_timeout_ms = 60000,
	.min_rate = 256,
	.min_rate_sec = 10,
};

struct digest {
	uint8_t bytes[AEGIS_SHA256_SIZE];
	bool known;
};

struct poll {
	const struct source *src;
	struct schedule schedule;
	struct event timer;
	struct http_request *request; /* NULL: none under way */
	bool again;
	bool tried; /* at least one poll has ended */
	char url[AEGIS_URL_SIZE + AEGIS_PATH_SIZE]; /* file: relative path */
	int64_t started_ns;
	char *body;
	size_t body_len;
	size_t body_room;
	char etag[HTTP_ETAG_SIZE];
	struct stat seen; /* file: as it was at the last good poll */
	int64_t seen_wall_ns;
	struct digest text;    /* of the last good list's JSON */
	struct digest records; /* of the records sent last */
	struct digest source;  /* what the cached list belongs to */
	int64_t expires_wall_ns;
	int64_t next_poll_wall_ns;
	struct complaints complaints;
};

/* How a poll went, before agentd is told. */
struct outcome {
	enum poll_result result;
	uint32_t http_status;
	int64_t wish_ms;
	char error[AEGIS_TEXT_SIZE];
};

static int
digest(struct digest *d, const void *data, size_t len)
{
	d->known =
	    EVP_Digest(data, len, d->bytes, NULL, EVP_sha256(), NULL) == 1;
	return d->known ? 0 : -EIO;
}

static bool
digest_equal(const struct digest *a, const struct digest *b)
{
	return a->known && b->known &&
	    memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* ---- telling agentd ---- */

/* Takes FD.  A full channel is the end: agentd would wait for a lost list. */
static void
send_list(struct poll *p, int fd, uint32_t entries, uint32_t skipped)
{
	struct msg_fetch_list m = { .entries = entries, .skipped = skipped };
	int r = msg_send_FETCH_LIST(p->src->worker->agentd, 0, &m, fd);

	if (r < 0 && r != -EPIPE)
		worker_fail(p->src->worker);
}

static void
send_polled(struct poll *p, const struct outcome *o, int64_t next_ms)
{
	struct msg_fetch_polled m = {
		.result = o->result,
		.http_status = o->http_status,
		.next_ms = (uint32_t)next_ms,
		.failures = p->schedule.failures,
		.duration_us =
		    (uint64_t)(clock_boot_ns() - p->started_ns) / 1000,
		.list_expires_wall_ns = p->expires_wall_ns,
	};
	int r;

	str_copy_cut(m.error, sizeof(m.error), o->error);
	str_scrub(m.error, sizeof(m.error));
	r = msg_send_FETCH_POLLED(p->src->worker->agentd, 0, &m);
	if (r < 0 && r != -EPIPE)
		worker_fail(p->src->worker);
}

static void
arm(struct poll *p, int64_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000,
		.tv_usec = ms % 1000 * 1000 };

	if (evtimer_add(&p->timer, &tv) != 0)
		worker_fail(p->src->worker);
}

/* ---- the cached list, when the first poll fails ---- */

static void
send_cached(struct poll *p, struct outcome *o)
{
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	uint32_t entries;
	int fd;

	if (p->src->cache == NULL)
		return;
	fd = cache_load_list(
	    p->src->cache, p->source.bytes, &p->expires_wall_ns, &entries);
	if (fd < 0)
		return;
	if (memfd_map(fd, ARTLIST_MAX, &map) < 0 ||
	    digest(&p->records, map.data, map.len) < 0) {
		(void)close(fd);
		return;
	}
	send_list(p, fd, entries, 0);
	o->result = POLL_CACHED;
}

static void
conclude(struct poll *p, struct outcome *o)
{
	bool good = o->result == POLL_CHANGED || o->result == POLL_NOT_MODIFIED;
	int64_t next_ms;

	if (!good && !p->tried)
		send_cached(p, o);
	p->tried = true;
	next_ms = good
	    ? schedule_success(&p->schedule, o->wish_ms, arc4random())
	    : schedule_failure(&p->schedule, o->wish_ms, arc4random());
	if (p->again)
		next_ms = 0;
	p->again = false;
	send_polled(p, o, next_ms);
	arm(p, next_ms);
}

static void _printf_(2, 3) conclude_failed(struct poll *p, const char *fmt, ...)
{
	struct outcome o = { .result = POLL_FAILED,
		.wish_ms = SCHEDULE_NO_WISH };
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(o.error, sizeof(o.error), fmt, ap);
	va_end(ap);
	conclude(p, &o);
}

/* ---- a list has come ---- */

static void
touch_cached(struct poll *p, const struct reglist *list)
{
	uint32_t i;

	for (i = 0; i < list->count; i++)
		if (list->entries[i].has_sha256)
			cache_touch(p->src->cache, list->entries[i].sha256);
}

/* Send the records unless agentd has the same. */
static int
send_if_new(struct poll *p, const struct reglist *list, struct outcome *o)
{
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	_cleanup_fd_ int fd = -1;
	struct digest records;
	int r;

	fd = artlist_write(
	    list->entries, list->count, list->data, list->data_len);
	if (fd < 0)
		return fd;
	r = memfd_map(fd, ARTLIST_MAX, &map);
	if (r == 0)
		r = digest(&records, map.data, map.len);
	if (r < 0)
		return r;
	o->result = POLL_NOT_MODIFIED;
	if (!digest_equal(&records, &p->records)) {
		send_list(p, fd_steal(&fd), list->count, list->skipped);
		p->records = records;
		o->result = POLL_CHANGED;
	}
	if (p->src->cache != NULL) {
		cache_save_list(p->src->cache, p->source.bytes, map.data,
		    map.len, list->expires_wall_ns);
		touch_cached(p, list);
	}
	return 0;
}

static void
complain(uint32_t index, const char *id, const char *error, void *ctx)
{
	struct poll *p = ctx;

	if (complaints_add(&p->complaints, index, id, error))
		log_line(LOG_LEVEL_ERROR, id[0] != '\0' ? id : NULL, error,
		    "entry %u of the registry's list is malformed and skipped",
		    index);
}

static int
take_text(struct poll *p, const char *text, size_t len, struct outcome *o)
{
	struct reglist list;
	struct digest now;
	uint32_t more;
	int r;

	r = digest(&now, text, len);
	if (r < 0)
		return r;
	if (digest_equal(&now, &p->text)) {
		o->result = POLL_NOT_MODIFIED;
		return 0;
	}
	complaints_begin(&p->complaints);
	r = reglist_parse(text, len, &list, complain, p, o->error);
	if (r < 0)
		return r;
	more = complaints_end(&p->complaints);
	if (more > 0)
		log_error("%u more entries of the registry's list are "
			  "malformed and skipped",
		    more);
	r = send_if_new(p, &list, o);
	if (r == 0) {
		p->text = now;
		p->expires_wall_ns = list.expires_wall_ns;
		p->next_poll_wall_ns = list.next_poll_wall_ns;
	}
	reglist_free(&list);
	return r;
}

static int64_t
wish_of(const struct poll *p, const struct http_answer *answer)
{
	int64_t wall_ns = clock_wall_ns(), ms;

	if (p->next_poll_wall_ns > wall_ns && answer->result == 0)
		return (p->next_poll_wall_ns - wall_ns) / NSEC_PER_MSEC;
	if (answer->retry_after[0] != '\0' &&
	    schedule_parse_retry_after(answer->retry_after, wall_ns, &ms) == 0)
		return ms;
	return SCHEDULE_NO_WISH;
}

static void
handle_text(struct poll *p, const char *text, size_t len, struct outcome *o)
{
	int r = take_text(p, text, len, o);

	if (r == 0)
		return;
	o->result = POLL_FAILED;
	if (o->error[0] == '\0')
		(void)snprintf(o->error, sizeof(o->error),
		    "the list cannot be used: %s", strerror(-r));
}

/* ---- by HTTP ---- */

static int
take_body(const void *data, size_t len, void *ctx)
{
	struct poll *p = ctx;
	size_t room = p->body_room;
	char *body;

	if (p->body_len + len > room) {
		room = room == 0 ? 65536 : room;
		while (room < p->body_len + len)
			room *= 2;
		body = realloc(p->body, room);
		if (body == NULL)
			return -ENOMEM;
		p->body = body;
		p->body_room = room;
	}
	memcpy(p->body + p->body_len, data, len);
	p->body_len += len;
	return 0;
}

static void
handle_answer(const struct http_answer *answer, void *ctx)
{
	struct poll *p = ctx;
	struct outcome o = { .result = POLL_FAILED,
		.http_status = answer->status };

	p->request = NULL;
	if (answer->result < 0) {
		str_copy_cut(o.error, sizeof(o.error), answer->error);
	} else if (answer->status == 304) {
		o.result = POLL_NOT_MODIFIED;
	} else {
		handle_text(p, p->body != NULL ? p->body : "", p->body_len, &o);
		p->etag[0] = '\0';
		if (o.result != POLL_FAILED)
			str_copy_cut(p->etag, sizeof(p->etag), answer->etag);
	}
	free(p->body);
	p->body = NULL;
	p->body_len = p->body_room = 0;
	o.wish_ms = wish_of(p, answer);
	conclude(p, &o);
}

static void
poll_http(struct poll *p)
{
	struct http_get get = {
		.url = p->url,
		.if_none_match = p->etag,
		.limits = &list_limits,
		.body = take_body,
		.done = handle_answer,
		.ctx = p,
	};
	int r = http_start(p->src->http, &get, &p->request);

	if (r < 0)
		conclude_failed(p, "cannot ask the registry: %s", strerror(-r));
}

/* ---- from a directory ---- */

/*
 * A file that was changed within the clock's grain of our last look could
 * look the same and be another: only older ones are known by their times.
 */
static bool
file_unchanged(const struct poll *p, const struct stat *st)
{
	int64_t changed_ns =
	    st->st_ctim.tv_sec * NSEC_PER_SEC + st->st_ctim.tv_nsec;

	return p->text.known && filetree_same(st, &p->seen) &&
	    p->seen_wall_ns - changed_ns > NSEC_PER_SEC;
}

static void
poll_file(struct poll *p)
{
	struct outcome o = { .result = POLL_NOT_MODIFIED,
		.wish_ms = SCHEDULE_NO_WISH };
	_cleanup_free_ char *text = NULL;
	_cleanup_fd_ int fd = -1;
	int64_t wall_ns = clock_wall_ns();
	struct stat st;
	size_t len;
	int r;

	fd = filetree_open(p->src->root, p->url, &st);
	if (fd < 0) {
		conclude_failed(p, "%s beneath the registry's directory: %s",
		    p->url, fd == -EINVAL ? "no regular file" : strerror(-fd));
		return;
	}
	if (!file_unchanged(p, &st)) {
		r = filetree_read(fd, AEGIS_LIST_MAX, &text, &len);
		if (r < 0) {
			conclude_failed(p, "%s: %s", p->url,
			    r == -EFBIG        ? "longer than the allowed 8 MiB"
				: r == -EAGAIN ? "changed while it was read"
					       : strerror(-r));
			return;
		}
		handle_text(p, text, len, &o);
		p->seen = st;
		p->seen_wall_ns = wall_ns;
	}
	if (o.result != POLL_FAILED && p->next_poll_wall_ns > wall_ns)
		o.wish_ms = (p->next_poll_wall_ns - wall_ns) / NSEC_PER_MSEC;
	conclude(p, &o);
}

/* ---- life ---- */

static void
handle_timer(evutil_socket_t fd, short what, void *arg)
{
	struct poll *p = arg;

	if (p->request != NULL)
		return;
	p->started_ns = clock_boot_ns();
	if (p->src->http != NULL)
		poll_http(p);
	else
		poll_file(p);
}

void
poll_now(struct poll *p)
{
	if (p->request != NULL)
		p->again = true;
	else
		arm(p, 0);
}

static int
name_source(struct poll *p)
{
	const struct msg_fetch_config *config = p->src->config;
	char name[AEGIS_URL_SIZE + AEGIS_ID_SIZE + 2];
	int n, r;

	n = snprintf(
	    name, sizeof(name), "%s\n%s", config->url, config->host_id);
	r = digest(&p->source, name, (size_t)n);
	if (r < 0)
		return r;
	if (p->src->http != NULL)
		r = str_copy(p->url, sizeof(p->url), config->url);
	if (r < 0)
		return r;
	return url_fill(p->url, sizeof(p->url), LIST_PATH, NULL,
	    config->host_id, p->src->http != NULL);
}

int
poll_new(struct poll **out, const struct source *src)
{
	struct poll *p = calloc(1, sizeof(*p));
	int r;

	*out = NULL;
	if (p == NULL)
		return -ENOMEM;
	p->src = src;
	p->schedule.interval_ms =
	    (int64_t)src->config->poll_interval_sec * 1000;
	if (evtimer_assign(&p->timer, src->worker->base, handle_timer, p) !=
	    0) {
		free(p);
		return -ENOMEM;
	}
	r = name_source(p);
	if (r < 0) {
		poll_free(p);
		return r;
	}
	arm(p, 0);
	*out = p;
	return 0;
}

void
poll_free(struct poll *p)
{
	if (p == NULL)
		return;
	if (p->request != NULL)
		http_cancel(p->request);
	(void)event_del(&p->timer);
	free(p->body);
	free(p);
}
