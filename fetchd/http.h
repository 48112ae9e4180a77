/* SPDX-License-Identifier: ISC */
/*
 * GET requests to one server, many at a time, on the event loop (libcurl's
 * multi interface).  The server is an opponent: each request has bounds on
 * body, headers, time and rate, takes redirects within its origin only, and
 * fails alone.
 */
#ifndef FETCHD_HTTP_H
#define FETCHD_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/limits.h"
#include "fetchd/secrets.h"

struct event_base;
struct http;
struct http_request;

#define HTTP_ETAG_SIZE   256
#define HTTP_HEADERS_MAX 65536 /* bytes of all header lines of a request */
#define HTTP_REDIRECTS   3

struct http_limits {
	uint64_t body_max;           /* bytes */
	uint32_t connect_timeout_ms; /* name look-up, TCP and TLS */
	uint32_t total_timeout_ms;   /* redirects included */
	uint32_t min_rate;           /* bytes/s, mean over: */
	uint32_t min_rate_sec;       /* also the longest silence */
};

struct http_answer {
	int result;                  /* 0: status is 200 or 304; else -errno: */
	uint32_t status;             /* 0: there was none */
	uint64_t size;               /* bytes of body */
	char etag[HTTP_ETAG_SIZE];   /* "" where none */
	char retry_after[64];        /* "" where none */
	char error[AEGIS_TEXT_SIZE]; /* for people, names the URL */
};

struct http_get {
	const char *url;
	const char *if_none_match; /* an ETag or NULL */
	const struct http_limits *limits;
	uint64_t body_expected; /* 0: unknown; else any other length fails */
	/* A piece of the body of a 200.  0, or -errno to abort. */
	int (*body)(const void *data, size_t len, void *ctx);
	/* The end, once, unless cancelled; the request is gone after it. */
	void (*done)(const struct http_answer *answer, void *ctx);
	void *ctx;
};

/*
 * Before the sandbox closes: initialise libcurl and OpenSSL (they read
 * configuration), and load what name look-up loads with dlopen(3).
 */
int http_global_init(void) _must_check_;

/*
 * A client on BASE for the server at the http or https URL BASE_URL.  TLS
 * material comes from SECRETS (may be empty).  -EINVAL with ERROR.
 */
int http_new(struct http **out, struct event_base *base, const char *base_url,
    const struct secrets *secrets, char *error, size_t size) _must_check_;
void http_free(struct http *h);

/* The server's TCP port. */
uint16_t http_port(const struct http *h);

/*
 * A header for all later requests, replacing one of the same name (which is
 * wiped); VALUE NULL removes it.
 */
int http_set_header(
    struct http *h, const char *name, const char *value) _must_check_;

/*
 * New TLS material; connections made with the old are used no more.  On
 * failure the old stays.  -EINVAL with ERROR.
 */
int http_set_tls(struct http *h, const struct secrets *secrets, char *error,
    size_t size) _must_check_;

/*
 * Start; GET is copied, its limits must stay.  The answer comes from the
 * event loop, never from within.  *OUT is valid until done() or cancel.
 */
int http_start(struct http *h, const struct http_get *get,
    struct http_request **out) _must_check_;

/* Drop it; done() is not called.  Not from within body(). */
void http_cancel(struct http_request *req);

#endif
