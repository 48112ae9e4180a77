/* SPDX-License-Identifier: ISC */
/*
 * What TLS connections trust and show, parsed once: PEM becomes OpenSSL
 * objects here, with a clear error at start, and each connection takes them
 * ready made (parsing a CA bundle costs 20 ms, LIMITS.md).
 */
#ifndef FETCHD_TLS_H
#define FETCHD_TLS_H

#include <stddef.h>

#include "common/cleanup.h"

struct tls;

/*
 * PEM texts, each may be NULL: without CA the system's bundle is read from
 * its file (before the sandbox closes); CERT and KEY go together.  -EINVAL
 * with ERROR (SIZE bytes) saying what is wrong.  Owned, see tls_free().
 */
int tls_new(struct tls **out, const char *ca, const char *cert, const char *key,
    char *error, size_t size) _must_check_;
void tls_free(struct tls *tls);

/* Put it into a fresh SSL_CTX of libcurl's.  0 or -EINVAL. */
int tls_apply(const struct tls *tls, void *ssl_ctx) _must_check_;

#endif
