/* SPDX-License-Identifier: ISC */
/* Signed rollback signals: what passes, and everything that does not. */
#include "unit.h"

#include <openssl/pem.h>
#include <string.h>

#include "common/clock.h"
#include "common/strnum.h"
#include "telemd/sigcheck.h"

#define SUBJECT "orchestrator.rollback.host-001"
#define TIME    "2024-01-15T10:30:00Z"
#define BODY    "{\"artifact_id\":\"a\"}"

static const int64_t now = INT64_C(1705314600000000000);
static EVP_PKEY *key;
static struct sigcheck sc;
static char pem[256], der64[256], raw64[64];

static void
setup(const char *type)
{
	unsigned char raw[32], der[256], *p = der;
	size_t len = sizeof(raw);
	BIO *bio = BIO_new(BIO_s_mem());
	int n;

	key = EVP_PKEY_Q_keygen(NULL, NULL, type);
	ck_assert_ptr_nonnull(key);
	ck_assert_int_eq(PEM_write_bio_PUBKEY(bio, key), 1);
	n = BIO_read(bio, pem, sizeof(pem) - 1);
	pem[n] = '\0';
	BIO_free(bio);
	n = i2d_PUBKEY(key, &p);
	EVP_EncodeBlock((unsigned char *)der64, der, n);
	if (EVP_PKEY_get_raw_public_key(key, raw, &len) == 1)
		EVP_EncodeBlock((unsigned char *)raw64, raw, (int)len);
}

/* The signature of TEXT in base64.  Static. */
static const char *
sign(const char *text)
{
	static char out[128];
	unsigned char sig[64];
	size_t len = sizeof(sig);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	ck_assert_int_eq(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key), 1);
	ck_assert_int_eq(EVP_DigestSign(ctx, sig, &len,
			     (const unsigned char *)text, strlen(text)),
	    1);
	EVP_MD_CTX_free(ctx);
	EVP_EncodeBlock((unsigned char *)out, sig, (int)len);
	return out;
}

static const char *
verify(const char *subject, const char *time, const char *sig, const char *body,
    int64_t at)
{
	return sigcheck_verify(&sc, subject, time, sig, body, strlen(body), at);
}

START_TEST (test_key_forms) {
	const char *sig;

	setup("ED25519");
	ck_assert_int_eq(sigcheck_init(&sc, pem), 0);
	sig = sign(SUBJECT "\n" TIME "\n" BODY);
	ck_assert_ptr_null(verify(SUBJECT, TIME, sig, BODY, now));
	sigcheck_free(&sc);
	ck_assert_int_eq(sigcheck_init(&sc, der64), 0);
	ck_assert_ptr_null(verify(SUBJECT, TIME, sig, BODY, now));
	sigcheck_free(&sc);
	ck_assert_int_eq(sigcheck_init(&sc, raw64), 0);
	ck_assert_ptr_null(verify(SUBJECT, TIME, sig, BODY, now));
	sigcheck_free(&sc);
	ck_assert_int_eq(sigcheck_init(&sc, ""), -EINVAL);
	ck_assert_int_eq(sigcheck_init(&sc, "file:/etc/key"), -EINVAL);
	ck_assert_int_eq(sigcheck_init(&sc, "AAAA"), -EINVAL);
	/* and then nothing passes */
	ck_assert_ptr_nonnull(verify(SUBJECT, TIME, sig, BODY, now));
	EVP_PKEY_free(key);
	setup("ED448");
	ck_assert_int_eq(sigcheck_init(&sc, pem), -EINVAL);
	EVP_PKEY_free(key);
}
END_TEST

START_TEST (test_all_of_it_is_signed) {
	const char *sig;
	char bad[128];

	setup("ED25519");
	ck_assert_int_eq(sigcheck_init(&sc, pem), 0);
	sig = sign(SUBJECT "\n" TIME "\n" BODY);
	ck_assert_ptr_nonnull(verify("other", TIME, sig, BODY, now));
	ck_assert_ptr_nonnull(
	    verify(SUBJECT, "2024-01-15T10:30:01Z", sig, BODY, now));
	ck_assert_ptr_nonnull(verify(SUBJECT, TIME, sig, BODY " ", now));
	ck_assert_ptr_nonnull(verify(SUBJECT, TIME, "", BODY, now));
	ck_assert_ptr_nonnull(verify(SUBJECT, "", sig, BODY, now));
	ck_assert_ptr_nonnull(verify(SUBJECT, "today", sig, BODY, now));
	ck_assert_ptr_nonnull(verify(SUBJECT, TIME, "AAAA", BODY, now));
	str_copy_cut(bad, sizeof(bad), sig);
	bad[10] = bad[10] == 'A' ? 'B' : 'A';
	ck_assert_ptr_nonnull(verify(SUBJECT, TIME, bad, BODY, now));
	ck_assert_uint_eq(sc.count, 0);
	ck_assert_ptr_null(verify(SUBJECT, TIME, sig, BODY, now));
	sigcheck_free(&sc);
	EVP_PKEY_free(key);
}
END_TEST

START_TEST (test_window_and_replay) {
	const int64_t minute = 60 * NSEC_PER_SEC;
	const char *sig;

	setup("ED25519");
	ck_assert_int_eq(sigcheck_init(&sc, pem), 0);
	sig = sign(SUBJECT "\n" TIME "\n" BODY);
	ck_assert_ptr_nonnull(
	    verify(SUBJECT, TIME, sig, BODY, now + minute + 1));
	ck_assert_ptr_nonnull(
	    verify(SUBJECT, TIME, sig, BODY, now - minute - 1));
	ck_assert_ptr_null(verify(SUBJECT, TIME, sig, BODY, now - minute));
	/* remembered for as long as the window would let it pass */
	ck_assert_ptr_nonnull(verify(SUBJECT, TIME, sig, BODY, now));
	ck_assert_ptr_nonnull(verify(SUBJECT, TIME, sig, BODY, now + minute));
	ck_assert_ptr_nonnull(
	    verify(SUBJECT, TIME, sig, BODY, now + minute + 1));
	sigcheck_free(&sc);
	EVP_PKEY_free(key);
}
END_TEST

UNIT_MAIN("sigcheck", test_key_forms, test_all_of_it_is_signed,
    test_window_and_replay)
