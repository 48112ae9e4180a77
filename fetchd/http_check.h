/* SPDX-License-Identifier: ISC */
/*
 * The rules one HTTP answer must keep, and the words when it does not.
 * Pure: fed with header lines and body lengths, asked for a verdict.
 */
#ifndef FETCHD_HTTP_CHECK_H
#define FETCHD_HTTP_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/limits.h"

struct http_limits;

struct http_check {
	uint64_t body_max;
	uint64_t body_expected; /* 0: unknown */
	uint64_t body_len;
	uint64_t content_length;
	bool has_content_length;
	bool in_body;
	size_t header_bytes;
	uint32_t status;
	int fault; /* 0, or a negative errno with: */
	char text[AEGIS_TEXT_SIZE];
};

void http_check_start(
    struct http_check *c, uint64_t body_max, uint64_t body_expected);

/* Note a fault (the first one stays) and return it. */
int http_check_fail(struct http_check *c, int fault, const char *fmt, ...)
    _printf_(3, 4);

/*
 * A header line as it came (LEN bytes, with its line end, not terminated),
 * a status line or trailer too.  0, or the fault: abort.
 */
int http_check_header(
    struct http_check *c, const char *line, size_t len) _must_check_;

/* LEN more bytes of body.  0, or the fault: abort. */
int http_check_body(struct http_check *c, size_t len) _must_check_;

bool http_check_is_redirect(const struct http_check *c);

/* How libcurl ended the transfer. */
struct http_end {
	int code;         /* CURLcode */
	int os_errno;     /* of connect(2); 0: unknown */
	const char *text; /* libcurl's own words, or "" */
};

/* The transfer is over: fill in fault and text unless all was well. */
void http_check_verdict(struct http_check *c, const struct http_end *end,
    const struct http_limits *limits);

#endif
