/* SPDX-License-Identifier: ISC */
/*
 * URLs as far as fetchd needs them: where a server is, whether a redirect
 * stays there, and how paths are filled in.
 */
#ifndef FETCHD_URL_H
#define FETCHD_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

struct url_origin {
	bool https;
	char host[256]; /* lower case; IPv6 in brackets */
	uint16_t port;
};

/*
 * The origin of an absolute http or https URL.  -EINVAL: it is none, or it
 * carries user and password.
 */
int url_origin(const char *url, struct url_origin *origin) _must_check_;

bool url_same_origin(const struct url_origin *a, const struct url_origin *b);

/*
 * Append to OUT (SIZE bytes, holding a string) the template PATH with {id}
 * and {host_id} filled in, percent-encoded if ESCAPE.  ID may be NULL where
 * the template has no {id}.  -EINVAL: unknown or unfilled placeholder;
 * -ENAMETOOLONG.
 */
int url_fill(char *out, size_t size, const char *path, const char *id,
    const char *host_id, bool escape) _must_check_;

#endif
