/* SPDX-License-Identifier: ISC */
/*
 * TLS for the API: the server's OpenSSL context, made from the certificate
 * and the key in memory, before the sandbox closes.
 */
#ifndef APID_TLS_H
#define APID_TLS_H

#include <stddef.h>

#include "common/cleanup.h"

/*
 * A context for civetweb's external_ssl_ctx callback (an SSL_CTX), from a
 * PEM certificate with its chain and a PEM key, both terminated.  0, or
 * -errno with a line for people in TEXT that names what is wrong.
 */
int tls_open(const char *cert, const char *key, void **ctx, char *text,
    size_t size) _must_check_;

/* Who is told when a handshake begins: in the thread that does it. */
struct tls_watch {
	void (*handshake)(void *arg);
	void *arg;
};

/* WATCH: borrowed until it is replaced; NULL: nobody. */
void tls_watch(void *ctx, struct tls_watch *watch);

void tls_close(void *ctx);

#endif
