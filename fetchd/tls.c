/* SPDX-License-Identifier: ISC */
#include "fetchd/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <string.h>

#define SYSTEM_BUNDLE "/etc/ssl/certs/ca-certificates.crt"

struct tls {
	X509_STORE *store;
	X509 *cert; /* NULL: none */
	STACK_OF(X509) * chain;
	EVP_PKEY *key;
};

static void
free_bio(BIO **bio)
{
	BIO_free_all(*bio);
}

/* An encrypted key must fail, not ask on a terminal that is not there. */
static int
no_passphrase(char *buf, int size, int rwflag, void *ctx)
{
	return -1;
}

static X509 *
read_cert(BIO *bio)
{
	X509 *cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);

	/* The end of the text is no error worth keeping. */
	ERR_clear_error();
	return cert;
}

static int
add_authorities(struct tls *tls, BIO *bio)
{
	X509 *cert;
	int n = 0;

	while ((cert = read_cert(bio)) != NULL) {
		if (X509_STORE_add_cert(tls->store, cert) == 1)
			n++;
		X509_free(cert);
	}
	return n;
}

static int
load_authorities(struct tls *tls, const char *ca, char *error, size_t size)
{
	_cleanup_(free_bio) BIO *bio = NULL;

	bio = ca != NULL ? BIO_new_mem_buf(ca, -1)
			 : BIO_new_file(SYSTEM_BUNDLE, "r");
	if (bio == NULL || add_authorities(tls, bio) == 0) {
		(void)snprintf(error, size,
		    ca != NULL
			? "the given CA text holds no PEM certificate"
			: "no CA certificates: %s cannot be used; install "
			  "ca-certificates or set the CA file",
		    SYSTEM_BUNDLE);
		ERR_clear_error();
		return -EINVAL;
	}
	/* As libcurl does: the chain may end at any certificate given. */
	(void)X509_STORE_set_flags(
	    tls->store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
	return 0;
}

static int
load_identity(struct tls *tls, const char *cert, const char *key, char *error,
    size_t size)
{
	_cleanup_(free_bio) BIO *certs = BIO_new_mem_buf(cert, -1);
	_cleanup_(free_bio) BIO *keys = BIO_new_mem_buf(key, -1);
	const char *what = NULL;
	X509 *next;

	if (certs == NULL || keys == NULL)
		return -ENOMEM;
	tls->cert = read_cert(certs);
	tls->key = PEM_read_bio_PrivateKey(keys, NULL, no_passphrase, NULL);
	if (tls->cert == NULL)
		what = "the client certificate is no PEM certificate";
	else if (tls->key == NULL)
		what = "the client key is no PEM key without passphrase";
	else if (X509_check_private_key(tls->cert, tls->key) != 1)
		what = "the client key does not belong to the certificate";
	ERR_clear_error();
	if (what != NULL) {
		(void)snprintf(error, size, "%s", what);
		return -EINVAL;
	}
	tls->chain = sk_X509_new_null();
	if (tls->chain == NULL)
		return -ENOMEM;
	while ((next = read_cert(certs)) != NULL) {
		if (sk_X509_push(tls->chain, next) == 0) {
			X509_free(next);
			return -ENOMEM;
		}
	}
	return 0;
}

int
tls_new(struct tls **out, const char *ca, const char *cert, const char *key,
    char *error, size_t size)
{
	struct tls *tls = calloc(1, sizeof(*tls));
	int r = -ENOMEM;

	*out = NULL;
	(void)snprintf(error, size, "out of memory");
	if (tls == NULL)
		return -ENOMEM;
	tls->store = X509_STORE_new();
	if (tls->store == NULL)
		goto fail;
	r = load_authorities(tls, ca, error, size);
	if (r < 0)
		goto fail;
	if ((cert != NULL) != (key != NULL)) {
		(void)snprintf(error, size,
		    "client certificate and key are wanted both or neither");
		r = -EINVAL;
		goto fail;
	}
	if (cert != NULL)
		r = load_identity(tls, cert, key, error, size);
	if (r < 0)
		goto fail;
	error[0] = '\0';
	*out = tls;
	return 0;
fail:
	tls_free(tls);
	return r;
}

void
tls_free(struct tls *tls)
{
	if (tls == NULL)
		return;
	X509_STORE_free(tls->store);
	X509_free(tls->cert);
	sk_X509_pop_free(tls->chain, X509_free);
	EVP_PKEY_free(tls->key);
	free(tls);
}

int
tls_apply(const struct tls *tls, void *ssl_ctx)
{
	SSL_CTX *ctx = ssl_ctx;

	SSL_CTX_set1_cert_store(ctx, tls->store);
	if (tls->cert == NULL)
		return 0;
	if (SSL_CTX_use_certificate(ctx, tls->cert) != 1 ||
	    SSL_CTX_use_PrivateKey(ctx, tls->key) != 1 ||
	    SSL_CTX_set1_chain(ctx, tls->chain) != 1)
		return -EINVAL;
	return 0;
}
