/* SPDX-License-Identifier: ISC */
#include "apid/answer.h"

#include <string.h>
#include <time.h>
#include <zlib.h>

#include "common/clock.h"

#define HEAD_MAX 1536

const char *
answer_status_text(unsigned int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 304:
		return "Not Modified";
	case 400:
		return "Bad Request";
	case 401:
		return "Unauthorized";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 408:
		return "Request Timeout";
	case 411:
		return "Length Required";
	case 413:
		return "Content Too Large";
	case 414:
		return "URI Too Long";
	case 431:
		return "Request Header Fields Too Large";
	case 501:
		return "Not Implemented";
	case 503:
		return "Service Unavailable";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return status < 500 ? "Error" : "Internal Server Error";
	}
}

/* The form of RFC 9110: "Tue, 24 Nov 2026 04:05:43 GMT". */
static void
format_date(int64_t wall_ns, char *out, size_t size)
{
	time_t sec = (time_t)(wall_ns / NSEC_PER_SEC);
	struct tm tm;

	if (gmtime_r(&sec, &tm) == NULL ||
	    strftime(out, size, "%a, %d %b %Y %H:%M:%S GMT", &tm) == 0)
		out[0] = '\0';
}

/*
 * Headers that every answer carries.  Without a Connection header HTTP/1.1
 * connections live on, which is what both sides then do.
 */
static int
format_head(char *out, size_t size, const struct answer_spec *spec,
    unsigned int status, bool with_body, size_t len)
{
	char date[64], length[96] = "";

	format_date(spec->wall_ns, date, sizeof(date));
	if (with_body)
		(void)snprintf(length, sizeof(length),
		    "Content-Length: %zu\r\nContent-Type: %s\r\n", len,
		    spec->type);
	return snprintf(out, size,
	    "HTTP/1.1 %u %s\r\n"
	    "Date: %s\r\n"
	    "%s"
	    "Cache-Control: no-store\r\n"
	    "X-Content-Type-Options: nosniff\r\n"
	    "%s%s%s%s%s%s%s\r\n",
	    status, answer_status_text(status), date, length,
	    spec->etag != NULL ? "ETag: " : "",
	    spec->etag != NULL ? spec->etag : "",
	    spec->etag != NULL ? "\r\n" : "",
	    spec->vary ? "Vary: Accept, Accept-Encoding\r\n" : "",
	    spec->gzip && with_body ? "Content-Encoding: gzip\r\n" : "",
	    spec->close ? "Connection: close\r\n" : "",
	    spec->extra != NULL ? spec->extra : "");
}

struct answer *
answer_build(const struct answer_spec *spec, const void *body, size_t len)
{
	char head[HEAD_MAX], unchanged[HEAD_MAX] = "";
	int head_len, unchanged_len = 0;
	struct answer *p;

	head_len =
	    format_head(head, sizeof(head), spec, spec->status, true, len);
	if (spec->etag != NULL)
		unchanged_len = format_head(
		    unchanged, sizeof(unchanged), spec, 304, false, 0);
	if (head_len < 0 || (size_t)head_len >= sizeof(head) ||
	    unchanged_len < 0 || (size_t)unchanged_len >= sizeof(unchanged))
		return NULL;
	p = malloc(sizeof(*p) + (size_t)head_len + len + (size_t)unchanged_len);
	if (p == NULL)
		return NULL;
	atomic_init(&p->refs, 1);
	p->spec = *spec;
	p->spec.etag = NULL;
	p->spec.extra = NULL;
	p->head_len = (size_t)head_len;
	p->len = p->head_len + len;
	p->unchanged_len = (size_t)unchanged_len;
	p->etag[0] = '\0';
	if (spec->etag != NULL)
		(void)snprintf(p->etag, sizeof(p->etag), "%s", spec->etag);
	memcpy(p->bytes, head, p->head_len);
	if (len > 0)
		memcpy(p->bytes + p->head_len, body, len);
	memcpy(p->bytes + p->len, unchanged, p->unchanged_len);
	return p;
}

struct answer *
answer_build_error(
    unsigned int status, const char *extra, bool close, const char *text)
{
	const struct answer_spec spec = {
		.status = status,
		.type = "application/json",
		.extra = extra,
		.close = close,
		.wall_ns = clock_wall_ns(),
	};
	char body[512];
	int len;

	/* TEXT is ours, without quotes or control characters. */
	len = snprintf(body, sizeof(body), "{\"error\":\"%s\"}\n", text);
	if (len < 0 || (size_t)len >= sizeof(body))
		return NULL;
	return answer_build(&spec, body, (size_t)len);
}

struct answer *
answer_ref(struct answer *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void
answer_unref(struct answer *p)
{
	if (p != NULL &&
	    atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1)
		free(p);
}

/* BODY as gzip; owned, or NULL if there is no memory. */
static void *
gzip_bytes(const void *body, size_t len, size_t *out_len)
{
	z_stream z = { 0 };
	size_t size;
	void *out;
	int r;

	/* 15 bits of window, and 16 for gzip's own header. */
	if (len > UINT32_MAX / 2 ||
	    deflateInit2(&z, 5, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) !=
		Z_OK)
		return NULL;
	size = deflateBound(&z, (uLong)len);
	out = malloc(size);
	if (out != NULL) {
		z.next_in = (Bytef *)(uintptr_t)body;
		z.avail_in = (uInt)len;
		z.next_out = out;
		z.avail_out = (uInt)size;
		r = deflate(&z, Z_FINISH);
		*out_len = size - z.avail_out;
		if (r != Z_STREAM_END) {
			free(out);
			out = NULL;
		}
	}
	(void)deflateEnd(&z);
	return out;
}

struct answer *
answer_compress(const struct answer *a)
{
	_cleanup_free_ void *packed = NULL;
	struct answer_spec spec = a->spec;
	size_t len = 0;

	packed = gzip_bytes(a->bytes + a->head_len, a->len - a->head_len, &len);
	if (packed == NULL)
		return NULL;
	spec.gzip = true;
	spec.etag = a->etag[0] != '\0' ? a->etag : NULL;
	return answer_build(&spec, packed, len);
}
