/* SPDX-License-Identifier: ISC */
#include "fetchd/http_check.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "common/strnum.h"
#include "fetchd/http.h"

/* What an error page may hold before we hang up. */
#define ERROR_PAGE_MAX 65536

void
http_check_start(
    struct http_check *c, uint64_t body_max, uint64_t body_expected)
{
	memset(c, 0, sizeof(*c));
	c->body_max = body_max;
	c->body_expected = body_expected;
}

int
http_check_fail(struct http_check *c, int fault, const char *fmt, ...)
{
	va_list ap;

	if (c->fault != 0)
		return c->fault;
	c->fault = fault;
	va_start(ap, fmt);
	(void)vsnprintf(c->text, sizeof(c->text), fmt, ap);
	va_end(ap);
	return fault;
}

/* A status line opens a new set of headers (after a 100, for one). */
static int
take_status(struct http_check *c, const char *line)
{
	unsigned int status;

	if (sscanf(line, "HTTP/%*[0-9.] %3u", &status) != 1)
		return 0;
	c->status = status;
	c->has_content_length = false;
	return 0;
}

static int
take_content_length(struct http_check *c, const char *value)
{
	uint64_t length;

	/* Decimal digits only: libcurl would read "0x10" as 0. */
	if (value[strspn(value, "0123456789")] != '\0' ||
	    strnum_parse_u64(value, 0, INT64_MAX, &length) < 0)
		return http_check_fail(
		    c, -EPROTO, "Content-Length \"%.40s\"", value);
	if (c->has_content_length && c->content_length != length)
		return http_check_fail(c, -EPROTO,
		    "two Content-Lengths, %llu and %llu",
		    (unsigned long long)c->content_length,
		    (unsigned long long)length);
	c->has_content_length = true;
	c->content_length = length;
	if (c->status != 200)
		return 0;
	if (length > c->body_max)
		return http_check_fail(c, -EFBIG,
		    "%llu bytes announced, at most %llu are allowed",
		    (unsigned long long)length,
		    (unsigned long long)c->body_max);
	if (c->body_expected != 0 && length != c->body_expected)
		return http_check_fail(c, -EMSGSIZE,
		    "%llu bytes announced where the list says %llu",
		    (unsigned long long)length,
		    (unsigned long long)c->body_expected);
	return 0;
}

static int
take_field(struct http_check *c, const char *name, const char *value)
{
	if (strcasecmp(name, "Content-Length") == 0)
		return take_content_length(c, value);
	/* None was asked for; decoding would be work for an opponent. */
	if (strcasecmp(name, "Content-Encoding") == 0 &&
	    strcasecmp(value, "identity") != 0)
		return http_check_fail(c, -EPROTO,
		    "Content-Encoding \"%.40s\" was not asked for", value);
	if (strcasecmp(name, "Transfer-Encoding") == 0 &&
	    strcasecmp(value, "chunked") != 0 &&
	    strcasecmp(value, "identity") != 0)
		return http_check_fail(c, -EPROTO,
		    "Transfer-Encoding \"%.40s\" is not supported", value);
	return 0;
}

static bool
field_matters(const char *name)
{
	return strcasecmp(name, "Content-Length") == 0 ||
	    strcasecmp(name, "Content-Encoding") == 0 ||
	    strcasecmp(name, "Transfer-Encoding") == 0;
}

int
http_check_header(struct http_check *c, const char *line, size_t len)
{
	char copy[256], *colon, *value;
	size_t n;

	if (c->fault != 0)
		return c->fault;
	c->header_bytes += len;
	if (c->header_bytes > HTTP_HEADERS_MAX)
		return http_check_fail(c, -EMSGSIZE,
		    "headers of more than %d bytes", HTTP_HEADERS_MAX);
	while (len > 0 && strchr("\r\n \t", line[len - 1]) != NULL)
		len--;
	if (memchr(line, '\0', len) != NULL)
		return http_check_fail(c, -EPROTO, "NUL in a header");
	n = len < sizeof(copy) ? len : sizeof(copy) - 1;
	memcpy(copy, line, n);
	copy[n] = '\0';
	if (!c->in_body && strncmp(copy, "HTTP/", 5) == 0)
		return take_status(c, copy);
	colon = strchr(copy, ':');
	if (colon == NULL)
		return 0;
	*colon = '\0';
	/* libcurl reads to the end what is cut here, behind blanks too. */
	if (n < len && field_matters(copy))
		return http_check_fail(
		    c, -EPROTO, "%s in a line of %zu bytes", copy, len);
	value = colon + 1 + strspn(colon + 1, " \t");
	return take_field(c, copy, value);
}

int
http_check_body(struct http_check *c, size_t len)
{
	if (c->fault != 0)
		return c->fault;
	c->in_body = true;
	c->body_len += len;
	if (c->status != 200) {
		if (c->body_len > ERROR_PAGE_MAX)
			return http_check_fail(c, -EPROTO,
			    "HTTP %u with an endless page", c->status);
		return 0;
	}
	if (c->body_len > c->body_max)
		return http_check_fail(c, -EFBIG,
		    "more than the allowed %llu bytes",
		    (unsigned long long)c->body_max);
	if (c->body_expected != 0 && c->body_len > c->body_expected)
		return http_check_fail(c, -EMSGSIZE,
		    "more than the %llu bytes that the list says",
		    (unsigned long long)c->body_expected);
	return 0;
}

bool
http_check_is_redirect(const struct http_check *c)
{
	return c->status == 301 || c->status == 302 || c->status == 303 ||
	    c->status == 307 || c->status == 308;
}

/*
 * No times and no port numbers in these words: agentd logs a failure again
 * when its text changes.
 */
static void
judge_timeout(struct http_check *c, const char *curl_error,
    const struct http_limits *limits)
{
	if (strstr(curl_error, "too slow") == NULL)
		(void)http_check_fail(c, -ETIMEDOUT,
		    c->header_bytes == 0
			? "no connection and answer within the time allowed"
			: "no complete answer within the time allowed");
	else if (c->header_bytes == 0)
		(void)http_check_fail(c, -ETIMEDOUT,
		    "the server says nothing for %u s", limits->min_rate_sec);
	else
		(void)http_check_fail(c, -ETIMEDOUT,
		    "the server sends less than %u bytes/s for %u s",
		    limits->min_rate, limits->min_rate_sec);
}

static void
judge_code(struct http_check *c, const struct http_end *end,
    const struct http_limits *limits)
{
	const char *why = end->text[0] != '\0'
	    ? end->text
	    : curl_easy_strerror((CURLcode)end->code);

	switch (end->code) {
	case CURLE_OPERATION_TIMEDOUT:
		judge_timeout(c, why, limits);
		break;
	case CURLE_PARTIAL_FILE:
		if (c->has_content_length)
			(void)http_check_fail(c, -EPROTO,
			    "truncated: %llu of %llu bytes came",
			    (unsigned long long)c->body_len,
			    (unsigned long long)c->content_length);
		else
			(void)http_check_fail(c, -EPROTO,
			    "truncated: the connection ended amid the chunks, "
			    "after %llu bytes",
			    (unsigned long long)c->body_len);
		break;
	case CURLE_OUT_OF_MEMORY:
		/* libcurl's word for a line beyond its own bound, too. */
		(void)http_check_fail(c, -EPROTO,
		    "a header line that is too long (or out of memory)");
		break;
	case CURLE_GOT_NOTHING:
		(void)http_check_fail(
		    c, -EPROTO, "the server hung up without an answer");
		break;
	case CURLE_COULDNT_RESOLVE_HOST:
		(void)http_check_fail(c, -EHOSTUNREACH, "%.180s", why);
		break;
	case CURLE_COULDNT_CONNECT:
		(void)http_check_fail(c, -ECONNREFUSED, "cannot connect: %s",
		    end->os_errno != 0 ? strerror(end->os_errno)
				       : "no address answers");
		break;
	case CURLE_PEER_FAILED_VERIFICATION:
		(void)http_check_fail(c, -EACCES,
		    "the server's certificate is not trusted: %.150s", why);
		break;
	default:
		(void)http_check_fail(c, -EPROTO, "%.180s", why);
		break;
	}
}

void
http_check_verdict(struct http_check *c, const struct http_end *end,
    const struct http_limits *limits)
{
	if (c->fault != 0)
		return;
	if (end->code != CURLE_OK) {
		judge_code(c, end, limits);
		return;
	}
	if (c->status != 200 && c->status != 304) {
		(void)http_check_fail(c, -EPROTO, "HTTP %u%s", c->status,
		    c->status == 401 || c->status == 403
			? ": the server refuses our credentials"
			: "");
		return;
	}
	if (c->status == 200 && c->body_expected != 0 &&
	    c->body_len != c->body_expected)
		(void)http_check_fail(c, -EMSGSIZE,
		    "%llu bytes where the list says %llu",
		    (unsigned long long)c->body_len,
		    (unsigned long long)c->body_expected);
}
