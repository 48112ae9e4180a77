/* SPDX-License-Identifier: ISC */
/*
 * fetchd: what TLS connections trust and show (tls.c), and the secrets that
 * it is made of (secrets.c).
 */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "common/memfd.h"
#include "fetchd/secrets.h"
#include "fetchd/tls.h"
#include "tests/unit/unit.h"

#define PEM_MAX 4096

/* An authority, one below it, a client of that, and somebody else. */
enum { ROOT, MIDDLE, CLIENT, OTHER, PEOPLE };

static struct person {
	EVP_PKEY *key;
	X509 *cert;
	char cert_pem[PEM_MAX];
	char key_pem[PEM_MAX];
	char locked_pem[PEM_MAX]; /* the key, with a passphrase */
} people[PEOPLE];

static char both[2 * PEM_MAX]; /* the client's chain */

static void
read_bio(BIO *bio, char *out)
{
	int n = BIO_read(bio, out, PEM_MAX - 1);

	ck_assert_int_gt(n, 0);
	out[n] = '\0';
	BIO_free(bio);
}

static void
make_person(struct person *p, const char *name, const struct person *issuer)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ca;
	X509_NAME *subject;
	BIO *bio;

	p->key = EVP_EC_gen("P-256");
	p->cert = X509_new();
	ck_assert_ptr_nonnull(p->key);
	ck_assert_ptr_nonnull(p->cert);
	(void)X509_set_version(p->cert, X509_VERSION_3);
	(void)X509_gmtime_adj(X509_getm_notBefore(p->cert), -86400);
	(void)X509_gmtime_adj(X509_getm_notAfter(p->cert), 86400);
	(void)X509_set_pubkey(p->cert, p->key);
	subject = X509_get_subject_name(p->cert);
	(void)X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
	    (const unsigned char *)name, -1, -1, 0);
	(void)X509_set_issuer_name(
	    p->cert, X509_get_subject_name(issuer->cert));
	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer->cert, p->cert, NULL, NULL, 0);
	ca = X509V3_EXT_conf_nid(
	    NULL, &ctx, NID_basic_constraints, "critical,CA:TRUE");
	ck_assert_int_eq(X509_add_ext(p->cert, ca, -1), 1);
	X509_EXTENSION_free(ca);
	ck_assert_int_gt(X509_sign(p->cert, issuer->key, EVP_sha256()), 0);
	bio = BIO_new(BIO_s_mem());
	(void)PEM_write_bio_X509(bio, p->cert);
	read_bio(bio, p->cert_pem);
	bio = BIO_new(BIO_s_mem());
	(void)PEM_write_bio_PrivateKey(bio, p->key, NULL, NULL, 0, NULL, NULL);
	read_bio(bio, p->key_pem);
	bio = BIO_new(BIO_s_mem());
	(void)PEM_write_bio_PKCS8PrivateKey(
	    bio, p->key, EVP_aes_128_cbc(), "secret", 6, NULL, NULL);
	read_bio(bio, p->locked_pem);
}

static void
setup(void)
{
	make_person(&people[ROOT], "root", &people[ROOT]);
	make_person(&people[MIDDLE], "middle", &people[ROOT]);
	make_person(&people[CLIENT], "client", &people[MIDDLE]);
	make_person(&people[OTHER], "other", &people[OTHER]);
	(void)snprintf(both, sizeof(both), "%s%s", people[CLIENT].cert_pem,
	    people[MIDDLE].cert_pem);
}

static void
teardown(void)
{
	size_t i;

	for (i = 0; i < PEOPLE; i++) {
		EVP_PKEY_free(people[i].key);
		X509_free(people[i].cert);
	}
}

/* Whether a connection with these authorities trusts WHO alone. */
static bool
trusts(const char *ca, const struct person *who)
{
	SSL_CTX *ssl = SSL_CTX_new(TLS_client_method());
	X509_STORE_CTX *check = X509_STORE_CTX_new();
	char error[256];
	struct tls *tls;
	bool yes;

	ck_assert_int_eq(
	    tls_new(&tls, ca, NULL, NULL, error, sizeof(error)), 0);
	ck_assert_str_eq(error, "");
	ck_assert_int_eq(tls_apply(tls, ssl), 0);
	ck_assert_ptr_null(SSL_CTX_get0_certificate(ssl));
	/* What was applied does not need what it came from. */
	tls_free(tls);
	(void)X509_STORE_CTX_init(
	    check, SSL_CTX_get_cert_store(ssl), who->cert, NULL);
	yes = X509_verify_cert(check) == 1;
	X509_STORE_CTX_free(check);
	SSL_CTX_free(ssl);
	return yes;
}

START_TEST (trust_is_in_what_was_given_alone) {
	char bundle[3 * PEM_MAX];

	ck_assert(trusts(people[ROOT].cert_pem, &people[MIDDLE]));
	ck_assert(!trusts(people[OTHER].cert_pem, &people[MIDDLE]));
	/* Any certificate may end the chain, it need not be a root's. */
	ck_assert(trusts(people[MIDDLE].cert_pem, &people[CLIENT]));
	ck_assert(!trusts(people[ROOT].cert_pem, &people[CLIENT]));
	(void)snprintf(bundle, sizeof(bundle), "# ours\n%s\n# theirs\n%s",
	    people[OTHER].cert_pem, people[MIDDLE].cert_pem);
	ck_assert(trusts(bundle, &people[CLIENT]));
	ck_assert(trusts(bundle, &people[OTHER]));
}
END_TEST

START_TEST (what_cannot_be_used_is_named) {
	const char *ca = people[ROOT].cert_pem;
	const char *cert = people[CLIENT].cert_pem;
	const struct {
		const char *ca, *cert, *key, *error;
	} rows[] = {
		{ "", NULL, NULL, "the given CA text holds no PEM" },
		{ "hello", NULL, NULL, "the given CA text holds no PEM" },
		{ people[ROOT].key_pem, NULL, NULL, "the given CA text" },
		{ ca, cert, NULL, "both or neither" },
		{ ca, NULL, people[CLIENT].key_pem, "both or neither" },
		{ ca, "hello", people[CLIENT].key_pem,
		    "the client certificate is no PEM certificate" },
		{ ca, cert, "hello", "the client key is no PEM key" },
		{ ca, cert, cert, "the client key is no PEM key" },
		{ ca, cert, people[CLIENT].locked_pem, "without passphrase" },
		{ ca, cert, people[OTHER].key_pem, "does not belong to" },
	};
	struct tls *tls;
	char error[256];
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		ck_assert_int_eq(tls_new(&tls, rows[i].ca, rows[i].cert,
				     rows[i].key, error, sizeof(error)),
		    -EINVAL);
		ck_assert_ptr_null(tls);
		ck_assert_msg(strstr(error, rows[i].error) != NULL,
		    "%zu: '%s' does not say '%s'", i, error, rows[i].error);
	}
}
END_TEST

START_TEST (the_client_shows_its_chain) {
	SSL_CTX *ssl = SSL_CTX_new(TLS_client_method());
	STACK_OF(X509) *chain = NULL;
	char error[256];
	struct tls *tls;

	ck_assert_int_eq(tls_new(&tls, people[ROOT].cert_pem, both,
			     people[CLIENT].key_pem, error, sizeof(error)),
	    0);
	ck_assert_int_eq(tls_apply(tls, ssl), 0);
	tls_free(tls);
	ck_assert_int_eq(
	    X509_cmp(SSL_CTX_get0_certificate(ssl), people[CLIENT].cert), 0);
	ck_assert_int_eq(SSL_CTX_check_private_key(ssl), 1);
	(void)SSL_CTX_get0_chain_certs(ssl, &chain);
	ck_assert_int_eq(sk_X509_num(chain), 1);
	ck_assert_int_eq(
	    X509_cmp(sk_X509_value(chain, 0), people[MIDDLE].cert), 0);
	SSL_CTX_free(ssl);
	tls_free(NULL);
}
END_TEST

/* ---- secrets.c ---- */

static int
take(struct secrets *s, uint32_t kind, const char *text, size_t len)
{
	struct msg_secret msg = { .kind = kind };
	_cleanup_fd_ int fd = memfd_from_bytes("test", text, len);
	struct imsg m = { .type = MSG_SECRET, .fd = fd, .data = &msg };

	ck_assert_int_ge(fd, 0);
	return secrets_take(s, &m);
}

START_TEST (a_token_is_a_word_of_a_header) {
	static const char *const unfit[] = { "", "\n", "\r\n\n", "two words",
		"a\nb", " a", "a\t", "caf\xc3\xa9", "a\x7f", "a\r\nX: y\r\n" };
	char longest[8193 + 1];
	struct secrets s = { 0 };
	size_t i;

	ck_assert_ptr_null(secrets_text(&s, SECRET_TOKEN));
	ck_assert_int_eq(take(&s, SECRET_TOKEN, "s.first~\r\n\n", 11), 0);
	ck_assert_str_eq(secrets_text(&s, SECRET_TOKEN), "s.first~");
	for (i = 0; i < nitems(unfit); i++) {
		ck_assert_int_eq(
		    take(&s, SECRET_TOKEN, unfit[i], strlen(unfit[i])), 0);
		ck_assert_str_eq(secrets_text(&s, SECRET_TOKEN), "s.first~");
	}
	ck_assert_int_eq(take(&s, SECRET_TOKEN, "a\0b", 3), 0);
	ck_assert_str_eq(secrets_text(&s, SECRET_TOKEN), "s.first~");
	memset(longest, 'x', sizeof(longest));
	ck_assert_int_eq(take(&s, SECRET_TOKEN, longest, 8193), 0);
	ck_assert_str_eq(secrets_text(&s, SECRET_TOKEN), "s.first~");
	ck_assert_int_eq(take(&s, SECRET_TOKEN, longest, 8192), 0);
	ck_assert_uint_eq(strlen(secrets_text(&s, SECRET_TOKEN)), 8192);
	secrets_wipe(&s);
	ck_assert_ptr_null(secrets_text(&s, SECRET_TOKEN));
}
END_TEST

START_TEST (pem_is_taken_as_it_is) {
	struct secrets s = { 0 };

	ck_assert_int_eq(take(&s, SECRET_CA, "two words\n", 10), 0);
	ck_assert_str_eq(secrets_text(&s, SECRET_CA), "two words\n");
	ck_assert_int_eq(take(&s, SECRET_CA, "a\0b", 3), 0);
	ck_assert_str_eq(secrets_text(&s, SECRET_CA), "two words\n");
	ck_assert_ptr_null(secrets_text(&s, SECRET_CERT));
	/* What is no business of fetchd's, and what is nothing. */
	ck_assert_int_eq(take(&s, SECRET_URL, "x", 1), -EINVAL);
	ck_assert_int_eq(take(&s, SECRET_NATS_CREDS, "x", 1), -EINVAL);
	ck_assert_int_eq(take(&s, SECRET_MAX, "x", 1), -EINVAL);
	secrets_wipe(&s);
}
END_TEST

UNIT_FIXTURE_MAIN("fetch_tls", setup, teardown,
    trust_is_in_what_was_given_alone, what_cannot_be_used_is_named,
    the_client_shows_its_chain, a_token_is_a_word_of_a_header,
    pem_is_taken_as_it_is)
