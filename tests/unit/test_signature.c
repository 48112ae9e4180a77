/* SPDX-License-Identifier: ISC */
/*
 * Keys and signatures: every algorithm and encoding that is accepted, each
 * one near it that is not.
 */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include "unit.h"
#include "verifyd/base64.h"
#include "verifyd/signature.h"
#include "verifyd_fixture.h"

static const char message[] = "exactly these bytes";
#define MESSAGE_LEN (sizeof(message) - 1)

static EVP_PKEY *
new_key(const char *type, const char *curve, unsigned int bits)
{
	EVP_PKEY *key = NULL;

	if (curve != NULL)
		key = EVP_EC_gen(curve);
	else if (bits != 0)
		key = EVP_PKEY_Q_keygen(NULL, NULL, type, (size_t)bits);
	else
		key = EVP_PKEY_Q_keygen(NULL, NULL, type);
	ck_assert_ptr_nonnull(key);
	return key;
}

static void
to_base64(const void *data, size_t len, char *out)
{
	EVP_EncodeBlock((unsigned char *)out, data, (int)len);
}

/* A signature over the message as base64 into OUT (2048 bytes). */
static void
sign(EVP_PKEY *key, const EVP_MD *md, int padding, int salt, char *out)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char sig[1024];
	size_t len = sizeof(sig);
	EVP_PKEY_CTX *pctx;

	ck_assert_int_eq(EVP_DigestSignInit(ctx, &pctx, md, NULL, key), 1);
	if (padding != 0)
		ck_assert_int_eq(
		    EVP_PKEY_CTX_set_rsa_padding(pctx, padding), 1);
	if (padding == RSA_PKCS1_PSS_PADDING)
		ck_assert_int_eq(
		    EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, salt), 1);
	ck_assert_int_eq(EVP_DigestSign(ctx, sig, &len,
			     (const unsigned char *)message, MESSAGE_LEN),
	    1);
	EVP_MD_CTX_free(ctx);
	to_base64(sig, len, out);
}

/* The public half as PEM; in a static buffer that is appended to. */
static const char *
pem_of(EVP_PKEY *key)
{
	static char out[4096];
	BIO *bio = BIO_new(BIO_s_mem());
	int n;

	ck_assert_int_eq(PEM_write_bio_PUBKEY(bio, key), 1);
	n = BIO_read(bio, out, sizeof(out) - 1);
	out[n] = '\0';
	BIO_free(bio);
	return out;
}

static int
load(struct keyring *ring, const char *text, struct problems *p)
{
	memset(p, 0, sizeof(*p));
	return keyring_load_text(ring, text, strlen(text), p);
}

/* What signature_verify() says of SIGNATURE. */
static int
verify(const struct keyring *ring, const char *signature, struct problems *p)
{
	const struct keyring_key *key;
	uint8_t sha256[32];
	uint32_t version;

	memset(p, 0, sizeof(*p));
	SHA256((const unsigned char *)message, MESSAGE_LEN, sha256);
	return signature_verify(
	    ring, signature, message, MESSAGE_LEN, sha256, &key, &version, p);
}

START_TEST (base64_is_strict) {
	static const struct {
		const char *text;
		const char *hex; /* NULL: refused */
		size_t at;
	} rows[] = {
		{ "", "", 0 }, { "QQ==", "41", 0 }, { "QUI=", "4142", 0 },
		{ "QUJD", "414243", 0 }, { "QUJD\n", "414243", 0 },
		{ "QU\r\nJD", "414243", 0 }, { "+/+/", "fbffbf", 0 },
		{ "QQ", NULL, 2 }, { "QQ=", NULL, 3 }, { "Q===", NULL, 1 },
		{ "====", NULL, 0 }, { "QUJD=", NULL, 4 },
		{ "QQ==QQ==", NULL, 4 },
		{ "QR==", NULL, 4 }, /* bits that no byte takes */
		{ "QU D", NULL, 2 }, { "-_-_", NULL, 0 }, /* the URL alphabet */
	};
	uint8_t out[16];
	size_t i, at;
	int n;

	for (i = 0; i < nitems(rows); i++) {
		n = base64_decode(
		    rows[i].text, strlen(rows[i].text), out, sizeof(out), &at);
		if (rows[i].hex == NULL) {
			ck_assert_msg(n == -EINVAL && at == rows[i].at,
			    "%s: %d at %zu", rows[i].text, n, at);
			continue;
		}
		ck_assert_msg(n >= 0, "%s: %d", rows[i].text, n);
		ck_assert_str_eq(hex_of(out, (size_t)n), rows[i].hex);
	}
	ck_assert_int_eq(base64_decode("QUJD", 4, out, 2, &at), -EMSGSIZE);
	ck_assert_int_eq(base64_decode("QUI=", 4, out, 1, &at), -EMSGSIZE);
	/* 'I' is 001000, 'J' 001001: its last two bits belong to nobody. */
	ck_assert_int_eq(base64_decode("QUJ=", 4, out, 16, &at), -EINVAL);
}
END_TEST

struct algorithm {
	const char *type;
	const char *curve;
	unsigned int bits;
	const EVP_MD *(*md)(void); /* NULL: the key's own */
	int padding;
	int salt;
	bool accepted;
};

START_TEST (algorithms) {
	static const struct algorithm rows[] = {
		{ "ED25519", NULL, 0, NULL, 0, 0, true },
		{ "EC", "P-256", 0, EVP_sha256, 0, 0, true },
		{ "EC", "P-384", 0, EVP_sha384, 0, 0, true },
		{ "EC", "P-384", 0, EVP_sha256, 0, 0, true }, /* Vault's */
		{ "RSA", NULL, 2048, EVP_sha256, RSA_PKCS1_PADDING, 0, true },
		{ "RSA", NULL, 2048, EVP_sha256, RSA_PKCS1_PSS_PADDING,
		    RSA_PSS_SALTLEN_DIGEST, true },
		{ "RSA", NULL, 2048, EVP_sha256, RSA_PKCS1_PSS_PADDING,
		    RSA_PSS_SALTLEN_MAX, true },
		{ "RSA", NULL, 3072, EVP_sha256, RSA_PKCS1_PSS_PADDING, 0,
		    true },
		/* digests that are not on the list */
		{ "EC", "P-256", 0, EVP_sha1, 0, 0, false },
		{ "EC", "P-256", 0, EVP_sha512, 0, 0, false },
		{ "RSA", NULL, 2048, EVP_sha1, RSA_PKCS1_PADDING, 0, false },
		{ "RSA", NULL, 2048, EVP_sha512, RSA_PKCS1_PADDING, 0, false },
		{ "RSA", NULL, 2048, EVP_sha1, RSA_PKCS1_PSS_PADDING, 0,
		    false },
	};
	struct keyring ring = { 0 };
	struct problems p;
	char sig[2048];
	EVP_PKEY *key;
	size_t i;
	int r;

	for (i = 0; i < nitems(rows); i++) {
		key = new_key(rows[i].type, rows[i].curve, rows[i].bits);
		ck_assert_int_eq(load(&ring, pem_of(key), &p), 0);
		ck_assert_uint_eq(p.count, 0);
		sign(key, rows[i].md != NULL ? rows[i].md() : NULL,
		    rows[i].padding, rows[i].salt, sig);
		r = verify(&ring, sig, &p);
		ck_assert_msg((r == 0) == rows[i].accepted, "row %zu: %d %s", i,
		    r, problems_text(&p));
		if (r < 0)
			ck_assert_int_eq(r, -EBADMSG);
		EVP_PKEY_free(key);
	}
	keyring_clear(&ring);
}
END_TEST

START_TEST (every_changed_byte_is_seen) {
	struct keyring ring = { 0 };
	EVP_PKEY *key = new_key("ED25519", NULL, 0);
	const struct keyring_key *which;
	uint8_t sha256[32];
	struct problems p;
	char copy[sizeof(message)], sig[2048];
	uint32_t version;
	size_t i;

	ck_assert_int_eq(load(&ring, pem_of(key), &p), 0);
	sign(key, NULL, 0, 0, sig);
	for (i = 0; i < MESSAGE_LEN; i++) {
		memcpy(copy, message, sizeof(copy));
		copy[i] ^= 1;
		SHA256((unsigned char *)copy, MESSAGE_LEN, sha256);
		memset(&p, 0, sizeof(p));
		ck_assert_int_eq(signature_verify(&ring, sig, copy, MESSAGE_LEN,
				     sha256, &which, &version, &p),
		    -EBADMSG);
		expect_problem(&p, "signature mismatch", "changed");
	}
	/* One byte more or less is another artifact, too. */
	ck_assert_int_eq(signature_verify(&ring, sig, message, MESSAGE_LEN - 1,
			     sha256, &which, &version, &p),
	    -EBADMSG);
	keyring_clear(&ring);
	EVP_PKEY_free(key);
}
END_TEST

START_TEST (encodings) {
	struct keyring ring = { 0 };
	EVP_PKEY *key = new_key("ED25519", NULL, 0);
	struct problems p;
	char sig[2048], text[4096];

	ck_assert_int_eq(load(&ring, pem_of(key), &p), 0);
	sign(key, NULL, 0, 0, sig);
	(void)snprintf(text, sizeof(text), "%s\n", sig);
	ck_assert_int_eq(verify(&ring, text, &p), 0);
	/* A pinned key has no versions: any will do. */
	(void)snprintf(text, sizeof(text), "vault:v12:%s", sig);
	ck_assert_int_eq(verify(&ring, text, &p), 0);

	ck_assert_int_eq(verify(&ring, "", &p), -EBADMSG);
	expect_problem(&p, "not signed", "empty");
	(void)snprintf(text, sizeof(text), "vault:1:%s", sig);
	ck_assert_int_eq(verify(&ring, text, &p), -EBADMSG);
	expect_problem(&p, "vN:", "no v");
	(void)snprintf(text, sizeof(text), "vault:v0:%s", sig);
	ck_assert_int_eq(verify(&ring, text, &p), -EBADMSG);
	(void)snprintf(text, sizeof(text), "vault:v4294967296:%s", sig);
	ck_assert_int_eq(verify(&ring, text, &p), -EBADMSG);
	ck_assert_int_eq(verify(&ring, "vault:v1:", &p), -EBADMSG);
	ck_assert_int_eq(verify(&ring, "%%%%", &p), -EBADMSG);
	expect_problem(&p, "not base64", "%%");
	expect_problem(&p, "character 1", "%%");
	ck_assert_int_eq(verify(&ring, "QUJD", &p), -EBADMSG);
	expect_problem(&p, "signature mismatch", "short");
	keyring_clear(&ring);
	EVP_PKEY_free(key);
}
END_TEST

START_TEST (any_key_of_a_bundle_holds) {
	struct keyring ring = { 0 };
	EVP_PKEY *one = new_key("ED25519", NULL, 0);
	EVP_PKEY *two = new_key("EC", "P-256", 0);
	EVP_PKEY *stranger = new_key("ED25519", NULL, 0);
	struct problems p;
	char bundle[8192], sig[2048];

	ck_assert_int_eq(verify(&ring, "QUJD", &p), -ENOKEY);
	expect_problem(&p, "no verification key is known yet", "none");
	(void)snprintf(bundle, sizeof(bundle), "# ours\n%s\n", pem_of(one));
	strncat(bundle, pem_of(two), sizeof(bundle) - strlen(bundle) - 1);
	ck_assert_int_eq(load(&ring, bundle, &p), 0);
	ck_assert_uint_eq(p.count, 0);
	ck_assert_uint_eq(ring.count, 2);
	sign(one, NULL, 0, 0, sig);
	ck_assert_int_eq(verify(&ring, sig, &p), 0);
	sign(two, EVP_sha256(), 0, 0, sig);
	ck_assert_int_eq(verify(&ring, sig, &p), 0);
	sign(stranger, NULL, 0, 0, sig);
	ck_assert_int_eq(verify(&ring, sig, &p), -EBADMSG);
	expect_problem(&p, "none of 2 trusted key(s)", "stranger");
	keyring_clear(&ring);
	EVP_PKEY_free(one);
	EVP_PKEY_free(two);
	EVP_PKEY_free(stranger);
}
END_TEST

START_TEST (forms_of_a_key) {
	struct keyring ring = { 0 };
	EVP_PKEY *key = new_key("ED25519", NULL, 0);
	unsigned char raw[32], *der = NULL;
	size_t len = sizeof(raw);
	struct problems p;
	char sig[2048], text[1024];
	int n;

	sign(key, NULL, 0, 0, sig);
	ck_assert_int_eq(EVP_PKEY_get_raw_public_key(key, raw, &len), 1);
	to_base64(raw, len, text);
	ck_assert_int_eq(load(&ring, text, &p), 0);
	ck_assert_int_eq(verify(&ring, sig, &p), 0);
	ck_assert_int_eq(strncmp(ring.keys[0].id, "ed25519:", 8), 0);

	n = i2d_PUBKEY(key, &der);
	to_base64(der, (size_t)n, text);
	strcat(text, "\n");
	ck_assert_int_eq(load(&ring, text, &p), 0);
	ck_assert_int_eq(verify(&ring, sig, &p), 0);
	to_base64(der, (size_t)n - 1, text);
	ck_assert_int_eq(load(&ring, text, &p), -ENOKEY);
	expect_problem(&p, "neither a raw Ed25519 key", "cut");
	OPENSSL_free(der);

	ck_assert_int_eq(load(&ring, "not a key!", &p), -ENOKEY);
	expect_problem(&p, "neither PEM nor base64", "text");
	ck_assert_int_eq(load(&ring, "", &p), -ENOKEY);
	ck_assert_uint_eq(ring.count, 0);
	keyring_clear(&ring);
	EVP_PKEY_free(key);
}
END_TEST

static void
expect_refused_key(EVP_PKEY *key, const char *wanted)
{
	struct keyring ring = { 0 };
	struct problems p;

	ck_assert_int_eq(load(&ring, pem_of(key), &p), -ENOKEY);
	expect_problem(&p, wanted, wanted);
	EVP_PKEY_free(key);
}

START_TEST (keys_that_are_refused) {
	struct keyring ring = { 0 };
	EVP_PKEY *good = new_key("ED25519", NULL, 0);
	BIO *bio = BIO_new(BIO_s_mem());
	struct problems p;
	char text[8192];
	int n;

	expect_refused_key(new_key("RSA", NULL, 1024), "1024-bit RSA");
	expect_refused_key(new_key("EC", "P-521", 0), "curve secp521r1");
	expect_refused_key(new_key("EC", "secp256k1", 0), "curve secp256k1");
	expect_refused_key(new_key("X25519", NULL, 0), "key type X25519");
	expect_refused_key(new_key("ED448", NULL, 0), "key type ED448");

	/* A private key is no trust anchor, and must not be repeated. */
	ck_assert_int_eq(
	    PEM_write_bio_PrivateKey(bio, good, NULL, NULL, 0, NULL, NULL), 1);
	n = BIO_read(bio, text, sizeof(text) - 1);
	text[n] = '\0';
	ck_assert_int_eq(load(&ring, text, &p), -ENOKEY);
	expect_problem(&p, "is a private key", "private");
	/* What is beside it holds all the same. */
	strcat(text, pem_of(good));
	ck_assert_int_eq(load(&ring, text, &p), 0);
	ck_assert_uint_eq(ring.count, 1);
	ck_assert_uint_eq(p.count, 1);
	ck_assert_int_eq(load(&ring,
			     "-----BEGIN PUBLIC KEY-----\nQUJD\n"
			     "-----END PUBLIC KEY-----\n",
			     &p),
	    -ENOKEY);
	expect_problem(&p, "not a valid public key", "nonsense");
	ck_assert_int_eq(
	    load(&ring, "-----BEGIN PUBLIC KEY-----\nQUJD\n", &p), -ENOKEY);
	expect_problem(&p, "damaged", "cut");
	keyring_clear(&ring);
	BIO_free(bio);
	EVP_PKEY_free(good);
}
END_TEST

START_TEST (vault_versions) {
	static struct {
		struct keyset_header header;
		struct keyset_key keys[2];
	} set = { { KEYSET_MAGIC, KEYSET_VERSION, 2, 2 }, { { 0 } } };
	EVP_PKEY *old = new_key("ED25519", NULL, 0);
	EVP_PKEY *new = new_key("ED25519", NULL, 0);
	struct keyring ring = { 0 };
	struct problems p = { 0 };
	struct keyset checked;
	const char *what;
	char sig[2048], text[4096];

	set.keys[0].version = 1;
	set.keys[0].text_len = (uint32_t)strlen(pem_of(old));
	memcpy(set.keys[0].text, pem_of(old), set.keys[0].text_len);
	set.keys[1].version = 2;
	set.keys[1].text_len = (uint32_t)strlen(pem_of(new));
	memcpy(set.keys[1].text, pem_of(new), set.keys[1].text_len);
	ck_assert_int_eq(keyset_check(&set, sizeof(set), &checked, &what), 0);
	ck_assert_int_eq(keyring_load_set(&ring, &checked, &p), 0);

	sign(new, NULL, 0, 0, sig);
	(void)snprintf(text, sizeof(text), "vault:v2:%s", sig);
	ck_assert_int_eq(verify(&ring, text, &p), 0);
	ck_assert_int_eq(verify(&ring, sig, &p), 0);
	/* Another version is another key, or none, or too old. */
	(void)snprintf(text, sizeof(text), "vault:v3:%s", sig);
	ck_assert_int_eq(verify(&ring, text, &p), -ENOKEY);
	expect_problem(&p, "key version 3", "unknown");
	sign(old, NULL, 0, 0, sig);
	(void)snprintf(text, sizeof(text), "vault:v2:%s", sig);
	ck_assert_int_eq(verify(&ring, text, &p), -EBADMSG);
	(void)snprintf(text, sizeof(text), "vault:v1:%s", sig);
	ck_assert_int_eq(verify(&ring, text, &p), -EBADMSG);
	expect_problem(&p, "min_decryption_version is 2", "old");
	/* Without a prefix the old key does not hold either. */
	ck_assert_int_eq(verify(&ring, sig, &p), -EBADMSG);
	keyring_clear(&ring);
	EVP_PKEY_free(old);
	EVP_PKEY_free(new);
}
END_TEST

UNIT_MAIN("signature", base64_is_strict, algorithms, every_changed_byte_is_seen,
    encodings, any_key_of_a_bundle_holds, forms_of_a_key, keys_that_are_refused,
    vault_versions)
