/* SPDX-License-Identifier: ISC */
#include "apid/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

/* OpenSSL's last word about a failure, for people. */
static void
explain(const char *what, char *text, size_t size)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

	(void)snprintf(text, size, "%s%s%s", what, reason != NULL ? ": " : "",
	    reason != NULL ? reason : "");
	ERR_clear_error();
}

/* A key behind a passphrase would make OpenSSL ask a terminal. */
static int
no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	return -1;
}

/* The first certificate of the PEM text is the server's, the rest its chain. */
static int
use_certificates(SSL_CTX *ctx, const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *x = NULL;
	int count = 0, ok = bio != NULL;

	while (ok &&
	    (x = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL) {
		if (count++ == 0)
			ok = SSL_CTX_use_certificate(ctx, x) == 1;
		else
			ok = SSL_CTX_add1_chain_cert(ctx, x) == 1;
		X509_free(x);
	}
	BIO_free(bio);
	if (!ok || count == 0)
		return -EINVAL;
	ERR_clear_error(); /* the end of the text is no error */
	return 0;
}

static int
use_key(SSL_CTX *ctx, const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = NULL;
	int ok;

	if (bio != NULL)
		key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	ok = key != NULL && SSL_CTX_use_PrivateKey(ctx, key) == 1;
	EVP_PKEY_free(key);
	BIO_free(bio);
	return ok ? 0 : -EINVAL;
}

int
tls_open(const char *cert, const char *key, void **out, char *text, size_t size)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL) {
		explain("cannot make a TLS context", text, size);
		return -ENOMEM;
	}
	(void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	(void)SSL_CTX_set_options(ctx,
	    SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
		SSL_OP_CIPHER_SERVER_PREFERENCE);
	/* What an idle connection keeps: 34 KB less each. */
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	if (use_certificates(ctx, cert) < 0)
		explain("AGENT_HTTP_CERT is no PEM certificate", text, size);
	else if (use_key(ctx, key) < 0)
		explain("AGENT_HTTP_KEY is no PEM private key without a "
			"passphrase that fits AGENT_HTTP_CERT",
		    text, size);
	else if (SSL_CTX_check_private_key(ctx) != 1)
		explain("AGENT_HTTP_KEY does not belong to AGENT_HTTP_CERT",
		    text, size);
	else {
		*out = ctx;
		return 0;
	}
	SSL_CTX_free(ctx);
	return -EINVAL;
}

static void
handle_info(const SSL *ssl, int where, int value)
{
	const struct tls_watch *w = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	if ((where & SSL_CB_HANDSHAKE_START) && w != NULL)
		w->handshake(w->arg);
}

void
tls_watch(void *ctx, struct tls_watch *watch)
{
	(void)SSL_CTX_set_app_data(ctx, watch);
	SSL_CTX_set_info_callback(ctx, watch != NULL ? handle_info : NULL);
}

void
tls_close(void *ctx)
{
	SSL_CTX_free(ctx);
}
