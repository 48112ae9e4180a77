/* SPDX-License-Identifier: ISC */
#include "fetchd/http.h"

#include <curl/curl.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/queue.h>

#include "aegis_config.h"
#include "common/clock.h"
#include "common/log.h"
#include "fetchd/http_check.h"
#include "fetchd/multi.h"
#include "fetchd/tls.h"
#include "fetchd/url.h"

#define HEADERS 4
#define AGENT   "aegisflux-agent/" AEGIS_VERSION

struct http_request {
	TAILQ_ENTRY(http_request) entry;
	struct http *http;
	CURL *easy;
	struct curl_slist *headers;
	struct http_get get;
	bool conditional; /* an ETag was sent */
	char *url;
	int64_t started_ns;
	unsigned int redirects;
	struct http_check check;
	char curl_error[CURL_ERROR_SIZE];
};

static void finish(CURL *easy, int code);

struct http {
	struct multi *multi;
	struct event_base *base;
	struct tls *tls; /* NULL: plain http */
	bool tls_changed;
	struct url_origin origin;
	char *headers[HEADERS]; /* "Name: value" */
	TAILQ_HEAD(, http_request) requests;
};

/*
 * After new TLS material: connections made with the old one must not carry
 * new requests.  They go as soon as none is in use; until then requests make
 * connections of their own.
 */
static int
drop_old_connections(struct http *h)
{
	struct multi *fresh;
	int r;

	if (!h->tls_changed || !TAILQ_EMPTY(&h->requests))
		return 0;
	r = multi_new(&fresh, h->base, finish);
	if (r < 0)
		return r;
	multi_free(h->multi);
	h->multi = fresh;
	h->tls_changed = false;
	return 0;
}

/* ---- one request ---- */

static size_t
take_header(char *line, size_t size, size_t n, void *arg)
{
	struct http_request *req = arg;

	return http_check_header(&req->check, line, size * n) == 0 ? size * n
								   : 0;
}

static size_t
take_body(char *data, size_t size, size_t n, void *arg)
{
	struct http_request *req = arg;
	size_t len = size * n;
	int r;

	if (http_check_body(&req->check, len) < 0)
		return 0;
	if (req->check.status != 200)
		return len; /* an error page: bounded, and nobody reads it */
	r = req->get.body(data, len, req->get.ctx);
	if (r < 0) {
		http_check_fail(
		    &req->check, r, "cannot keep the answer: %s", strerror(-r));
		return 0;
	}
	return len;
}

static CURLcode
set_tls(CURL *easy, void *ssl_ctx, void *arg)
{
	const struct http *h = arg;

	return tls_apply(h->tls, ssl_ctx) == 0 ? CURLE_OK
					       : CURLE_SSL_CERTPROBLEM;
}

static void
free_request(struct http_request *req)
{
	struct curl_slist *item;

	TAILQ_REMOVE(&req->http->requests, req, entry);
	if (req->easy != NULL) {
		multi_remove(req->http->multi, req->easy);
		curl_easy_cleanup(req->easy);
	}
	for (item = req->headers; item != NULL; item = item->next)
		explicit_bzero(item->data, strlen(item->data));
	curl_slist_free_all(req->headers);
	free(req->url);
	free(req);
}

static int
add_line(struct http_request *req, const char *line)
{
	struct curl_slist *list = curl_slist_append(req->headers, line);

	if (list == NULL)
		return -ENOMEM;
	req->headers = list;
	return 0;
}

static int
add_headers(struct http_request *req)
{
	char line[HTTP_ETAG_SIZE + 32];
	size_t i;
	int r = 0;

	for (i = 0; i < HEADERS && r == 0; i++)
		if (req->http->headers[i] != NULL)
			r = add_line(req, req->http->headers[i]);
	if (r == 0 && req->get.if_none_match != NULL &&
	    req->get.if_none_match[0] != '\0') {
		(void)snprintf(line, sizeof(line), "If-None-Match: %s",
		    req->get.if_none_match);
		r = add_line(req, line);
	}
	return r;
}

/* Constants of every request; the few that can fail only say so later. */
static void
set_options(struct http_request *req)
{
	const struct http_limits *limits = req->get.limits;
	CURL *e = req->easy;

	(void)curl_easy_setopt(e, CURLOPT_PRIVATE, req);
	(void)curl_easy_setopt(e, CURLOPT_ERRORBUFFER, req->curl_error);
	(void)curl_easy_setopt(e, CURLOPT_USERAGENT, AGENT);
	(void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(e, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	/* HTTP/2 would bring a second parser and nothing else. */
	(void)curl_easy_setopt(
	    e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
	(void)curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 262144L);
	(void)curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	(void)curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_header);
	(void)curl_easy_setopt(e, CURLOPT_HEADERDATA, req);
	(void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body);
	(void)curl_easy_setopt(e, CURLOPT_WRITEDATA, req);
	(void)curl_easy_setopt(
	    e, CURLOPT_CONNECTTIMEOUT_MS, (long)limits->connect_timeout_ms);
	(void)curl_easy_setopt(
	    e, CURLOPT_LOW_SPEED_LIMIT, (long)limits->min_rate);
	(void)curl_easy_setopt(
	    e, CURLOPT_LOW_SPEED_TIME, (long)limits->min_rate_sec);
	/* Our own store, parsed once (tls.c): libcurl shall load none. */
	(void)curl_easy_setopt(e, CURLOPT_CAINFO, NULL);
	(void)curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
	(void)curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
	(void)curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
	(void)curl_easy_setopt(
	    e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	(void)curl_easy_setopt(e, CURLOPT_SSL_CTX_FUNCTION, set_tls);
	(void)curl_easy_setopt(e, CURLOPT_SSL_CTX_DATA, req->http);
	(void)curl_easy_setopt(e, CURLOPT_HTTPHEADER, req->headers);
}

/* Also the second time round, after a redirect. */
static int
add_to_multi(struct http_request *req)
{
	const struct http_limits *limits = req->get.limits;
	int64_t spent_ms, left_ms;

	spent_ms = (clock_boot_ns() - req->started_ns) / NSEC_PER_MSEC;
	left_ms = (int64_t)limits->total_timeout_ms - spent_ms;
	if (left_ms <= 0)
		return -ETIMEDOUT;
	http_check_start(&req->check, limits->body_max, req->get.body_expected);
	req->curl_error[0] = '\0';
	if (curl_easy_setopt(req->easy, CURLOPT_TIMEOUT_MS, (long)left_ms) !=
		CURLE_OK ||
	    curl_easy_setopt(req->easy, CURLOPT_PROTOCOLS_STR,
		req->http->origin.https ? "https" : "http") != CURLE_OK ||
	    curl_easy_setopt(req->easy, CURLOPT_URL, req->url) != CURLE_OK)
		return -EINVAL;
	return multi_add(req->http->multi, req->easy);
}

int
http_start(
    struct http *h, const struct http_get *get, struct http_request **out)
{
	struct http_request *req;
	int r;

	*out = NULL;
	r = drop_old_connections(h);
	if (r < 0)
		return r;
	r = -ENOMEM;
	req = calloc(1, sizeof(*req));
	if (req == NULL)
		return -ENOMEM;
	TAILQ_INSERT_TAIL(&h->requests, req, entry);
	req->http = h;
	req->get = *get;
	req->started_ns = clock_boot_ns();
	req->url = strdup(get->url);
	req->easy = curl_easy_init();
	if (req->url == NULL || req->easy == NULL)
		goto fail;
	r = add_headers(req);
	if (r < 0)
		goto fail;
	req->conditional =
	    get->if_none_match != NULL && get->if_none_match[0] != '\0';
	req->get.if_none_match = NULL;
	set_options(req);
	if (h->tls_changed)
		(void)curl_easy_setopt(req->easy, CURLOPT_FRESH_CONNECT, 1L);
	r = add_to_multi(req);
	if (r < 0)
		goto fail;
	*out = req;
	return 0;
fail:
	free_request(req);
	return r;
}

void
http_cancel(struct http_request *req)
{
	free_request(req);
}

/* ---- the end of a request ---- */

/*
 * Follow a redirect.  1: it goes on; 0: it was none; -errno with the reason
 * in the check.
 */
static int
follow(struct http_request *req)
{
	struct url_origin origin;
	char *where = NULL;

	if (!http_check_is_redirect(&req->check))
		return 0;
	if (curl_easy_getinfo(req->easy, CURLINFO_REDIRECT_URL, &where) !=
		CURLE_OK ||
	    where == NULL)
		return http_check_fail(&req->check, -EPROTO,
		    "HTTP %u without a usable Location", req->check.status);
	if (++req->redirects > HTTP_REDIRECTS)
		return http_check_fail(&req->check, -ELOOP,
		    "more than %d redirects", HTTP_REDIRECTS);
	if (url_origin(where, &origin) < 0 ||
	    !url_same_origin(&origin, &req->http->origin))
		return http_check_fail(&req->check, -EXDEV,
		    "redirect to another origin refused: %.100s", where);
	where = strdup(where);
	if (where == NULL)
		return http_check_fail(&req->check, -ENOMEM, "out of memory");
	free(req->url);
	req->url = where;
	multi_remove(req->http->multi, req->easy);
	if (add_to_multi(req) < 0)
		return http_check_fail(
		    &req->check, -ETIMEDOUT, "redirects took too long");
	return 1;
}

static void
copy_header(struct http_request *req, const char *name, char *out, size_t size)
{
	struct curl_header *header;

	out[0] = '\0';
	if (curl_easy_header(req->easy, name, 0, CURLH_HEADER, -1, &header) !=
	    CURLHE_OK)
		return;
	/* What is not plain text is as good as absent. */
	if (str_copy(out, size, header->value) < 0 || !str_is_text(out, size))
		out[0] = '\0';
}

static void
finish(CURL *easy, int code)
{
	struct http_request *req = NULL;
	struct http_answer answer = { 0 };
	struct http_end end = { .code = code };
	long os_errno = 0;
	void (*done)(const struct http_answer *, void *);
	void *ctx;
	int r;

	(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &req);
	done = req->get.done;
	ctx = req->get.ctx;
	end.text = req->curl_error;

	if (code == CURLE_OK) {
		r = follow(req);
		if (r > 0)
			return;
	}
	if (req->check.status == 304 && !req->conditional)
		(void)http_check_fail(&req->check, -EPROTO,
		    "HTTP 304 although nothing was fetched before");
	(void)curl_easy_getinfo(req->easy, CURLINFO_OS_ERRNO, &os_errno);
	end.os_errno = (int)os_errno;
	http_check_verdict(&req->check, &end, req->get.limits);
	answer.result = req->check.fault;
	answer.status = req->check.status;
	answer.size = req->check.body_len;
	copy_header(req, "ETag", answer.etag, sizeof(answer.etag));
	copy_header(
	    req, "Retry-After", answer.retry_after, sizeof(answer.retry_after));
	if (answer.result < 0) {
		char text[AEGIS_TEXT_SIZE + AEGIS_URL_SIZE];

		(void)snprintf(text, sizeof(text), "%s (GET %s)",
		    req->check.text, req->url);
		str_copy_cut(answer.error, sizeof(answer.error), text);
		str_scrub(answer.error, sizeof(answer.error));
	}
	free_request(req);
	done(&answer, ctx);
}

/* ---- the client ---- */

int
http_global_init(void)
{
	SSL_CTX *ctx;

	if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
		return -ENOMEM;
	/* The first context reads openssl.cnf and loads its providers. */
	ctx = SSL_CTX_new(TLS_client_method());
	if (ctx == NULL)
		return -ENOMEM;
	SSL_CTX_free(ctx);
	return 0;
}

int
http_set_tls(
    struct http *h, const struct secrets *secrets, char *error, size_t size)
{
	struct tls *tls;
	int r;

	if (!h->origin.https)
		return 0;
	r = tls_new(&tls, secrets_text(secrets, SECRET_CA),
	    secrets_text(secrets, SECRET_CERT),
	    secrets_text(secrets, SECRET_KEY), error, size);
	if (r < 0)
		return r;
	h->tls_changed = h->tls != NULL;
	tls_free(h->tls);
	h->tls = tls;
	return 0;
}

int
http_new(struct http **out, struct event_base *base, const char *base_url,
    const struct secrets *secrets, char *error, size_t size)
{
	struct http *h = calloc(1, sizeof(*h));
	int r;

	*out = NULL;
	(void)snprintf(error, size, "out of memory");
	if (h == NULL)
		return -ENOMEM;
	TAILQ_INIT(&h->requests);
	h->base = base;
	r = url_origin(base_url, &h->origin);
	if (r < 0)
		(void)snprintf(error, size,
		    "%s: not an http or https URL without user and password",
		    base_url);
	if (r == 0)
		r = http_set_tls(h, secrets, error, size);
	if (r == 0)
		r = multi_new(&h->multi, base, finish);
	if (r < 0) {
		http_free(h);
		return r;
	}
	*out = h;
	return 0;
}

void
http_free(struct http *h)
{
	size_t i;

	if (h == NULL)
		return;
	while (!TAILQ_EMPTY(&h->requests))
		free_request(TAILQ_FIRST(&h->requests));
	multi_free(h->multi);
	for (i = 0; i < HEADERS; i++) {
		if (h->headers[i] != NULL)
			explicit_bzero(h->headers[i], strlen(h->headers[i]));
		free(h->headers[i]);
	}
	tls_free(h->tls);
	free(h);
}

uint16_t
http_port(const struct http *h)
{
	return h->origin.port;
}

int
http_set_header(struct http *h, const char *name, const char *value)
{
	size_t i, len = strlen(name);
	char **place = NULL, *line = NULL;

	for (i = 0; i < HEADERS; i++) {
		if (h->headers[i] == NULL) {
			if (place == NULL)
				place = &h->headers[i];
		} else if (strncmp(h->headers[i], name, len) == 0 &&
		    h->headers[i][len] == ':') {
			place = &h->headers[i];
			break;
		}
	}
	if (place == NULL)
		return -ENOSPC;
	if (value != NULL && asprintf(&line, "%s: %s", name, value) < 0)
		return -ENOMEM;
	if (*place != NULL)
		explicit_bzero(*place, strlen(*place));
	free(*place);
	*place = line;
	return 0;
}
