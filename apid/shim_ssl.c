/* SPDX-License-Identifier: ISC */
/*
 * Debian's civetweb looks OpenSSL up at run time, as "libssl.so" and with
 * the function names of 1.1: it needs the development package's links, and
 * even then finds no SSL_get_peer_certificate(), which OpenSSL 3 renamed.
 * This library stands in its place: it has that soname and that function,
 * and brings the real library with it.  server_load() loads it first.
 */
#include <openssl/ssl.h>

#undef SSL_get_peer_certificate
X509 *SSL_get_peer_certificate(const SSL *ssl);

X509 *
SSL_get_peer_certificate(const SSL *ssl)
{
	return SSL_get1_peer_certificate(ssl);
}
