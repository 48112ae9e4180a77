/* SPDX-License-Identifier: ISC */
#include "verifyd/signature.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#include "common/limits.h"
#include "common/strnum.h"
#include "verifyd/base64.h"

/* What is signed, and the digests of it that were needed so far. */
struct signed_bytes {
	const void *data;
	size_t len;
	const uint8_t *sha256;
	uint8_t sha384[48];
	bool has_sha384;
	uint8_t sig[AEGIS_SIGNATURE_SIZE];
	size_t sig_len;
};

static void
pkey_ctx_freep(EVP_PKEY_CTX **ctx)
{
	EVP_PKEY_CTX_free(*ctx);
}

static void
md_ctx_freep(EVP_MD_CTX **ctx)
{
	EVP_MD_CTX_free(*ctx);
}

static bool
verify_ed25519(EVP_PKEY *pkey, const struct signed_bytes *b)
{
	_cleanup_(md_ctx_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	return ctx != NULL &&
	    EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
	    EVP_DigestVerify(ctx, b->sig, b->sig_len, b->data, b->len) == 1;
}

/* PADDING 0: a key that has none (ECDSA). */
static bool
verify_digest(EVP_PKEY *pkey, const struct signed_bytes *b, const EVP_MD *md,
    const uint8_t *digest, int padding)
{
	_cleanup_(pkey_ctx_freep) EVP_PKEY_CTX *ctx =
	    EVP_PKEY_CTX_new(pkey, NULL);

	if (ctx == NULL || EVP_PKEY_verify_init(ctx) != 1)
		return false;
	if (padding != 0 && EVP_PKEY_CTX_set_rsa_padding(ctx, padding) != 1)
		return false;
	if (EVP_PKEY_CTX_set_signature_md(ctx, md) != 1)
		return false;
	if (padding == RSA_PKCS1_PSS_PADDING &&
	    (EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md) != 1 ||
		EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_AUTO) !=
		    1))
		return false;
	return EVP_PKEY_verify(ctx, b->sig, b->sig_len, digest,
		   (size_t)EVP_MD_get_size(md)) == 1;
}

static bool
verify_sha256(EVP_PKEY *pkey, const struct signed_bytes *b, int padding)
{
	return verify_digest(pkey, b, EVP_sha256(), b->sha256, padding);
}

static bool
verify_sha384(EVP_PKEY *pkey, struct signed_bytes *b)
{
	if (!b->has_sha384) {
		if (EVP_Digest(b->data, b->len, b->sha384, NULL, EVP_sha384(),
			NULL) != 1)
			return false;
		b->has_sha384 = true;
	}
	return verify_digest(pkey, b, EVP_sha384(), b->sha384, 0);
}

static bool
verify_with(const struct keyring_key *key, struct signed_bytes *b)
{
	switch (key->type) {
	case KEY_ED25519:
		return verify_ed25519(key->pkey, b);
	case KEY_P256:
		return verify_sha256(key->pkey, b, 0);
	case KEY_P384:
		/* Vault signs with SHA-256 unless told otherwise. */
		return verify_sha384(key->pkey, b) ||
		    verify_sha256(key->pkey, b, 0);
	case KEY_RSA:
		return verify_sha256(key->pkey, b, RSA_PKCS1_PSS_PADDING) ||
		    verify_sha256(key->pkey, b, RSA_PKCS1_PADDING);
	case KEY_RSA_PSS:
		return verify_sha256(key->pkey, b, RSA_PKCS1_PSS_PADDING);
	}
	return false;
}

/*
 * Split "vault:vN:..." into the version (0: no prefix) and the base64 text.
 */
static int
split_vault(const char *signature, uint32_t *version, const char **text)
{
	char digits[11];
	uint64_t n;
	size_t len;

	*version = 0;
	*text = signature;
	if (strncmp(signature, "vault:", 6) != 0)
		return 0;
	if (signature[6] != 'v')
		return -EINVAL;
	len = strspn(signature + 7, "0123456789");
	if (len == 0 || len >= sizeof(digits) || signature[7 + len] != ':')
		return -EINVAL;
	memcpy(digits, signature + 7, len);
	digits[len] = '\0';
	if (strnum_parse_u64(digits, 1, UINT32_MAX, &n) < 0)
		return -EINVAL;
	*version = (uint32_t)n;
	*text = signature + 8 + len;
	return 0;
}

static int
decode(const char *signature, struct signed_bytes *b, uint32_t *version,
    struct problems *problems)
{
	const char *text;
	size_t at = 0;
	int n;

	if (signature[0] == '\0') {
		problem_add(problems,
		    "the artifact is not signed: its entry has no signature");
		return -EBADMSG;
	}
	if (split_vault(signature, version, &text) < 0) {
		problem_add(problems,
		    "signature \"%.24s...\": after \"vault:\" comes \"vN:\" "
		    "with the key's version N",
		    signature);
		return -EBADMSG;
	}
	n = base64_decode(text, strlen(text), b->sig, sizeof(b->sig), &at);
	if (n <= 0) {
		problem_add(problems,
		    "the signature is not base64 (standard alphabet, padded), "
		    "from character %zu on",
		    at + 1 + (size_t)(text - signature));
		return -EBADMSG;
	}
	b->sig_len = (size_t)n;
	return 0;
}

/* Is there a key that may be asked about version VERSION at all? */
static int
check_version(
    const struct keyring *ring, uint32_t version, struct problems *problems)
{
	unsigned int i;

	if (ring->count == 0) {
		problem_add(problems,
		    "no verification key is known yet: set AGENT_PUBLIC_KEY, "
		    "or see whether Vault can be reached");
		return -ENOKEY;
	}
	if (!ring->versioned || version == 0)
		return 0;
	if (version < ring->min_version) {
		problem_add(problems,
		    "signed with key version %u, but Vault's "
		    "min_decryption_version is %u: sign anew",
		    version, ring->min_version);
		return -EBADMSG;
	}
	for (i = 0; i < ring->count; i++)
		if (ring->keys[i].version == version)
			return 0;
	problem_add(problems,
	    "signed with key version %u, which Vault has not shown yet",
	    version);
	return -ENOKEY;
}

/*
 * The signature does not hold: is it one by a trusted key, but over a digest
 * that is refused?  Only for the words; what it finds is refused as well.
 */
static bool
name_refused_digest(const struct keyring *ring, const struct signed_bytes *b,
    struct problems *problems)
{
	static const char *const names[] = { "SHA1", "MD5", "SHA224", "SHA384",
		"SHA512" };
	uint8_t digest[EVP_MAX_MD_SIZE];
	const struct keyring_key *k;
	const EVP_MD *md;
	unsigned int i, n;

	for (n = 0; n < nitems(names); n++) {
		md = EVP_get_digestbyname(names[n]);
		if (md == NULL ||
		    EVP_Digest(b->data, b->len, digest, NULL, md, NULL) != 1)
			continue;
		for (i = 0; i < ring->count; i++) {
			k = &ring->keys[i];
			if (k->type == KEY_ED25519 ||
			    !(k->type == KEY_RSA
				    ? verify_digest(k->pkey, b, md, digest,
					  RSA_PKCS1_PADDING) ||
					verify_digest(k->pkey, b, md, digest,
					    RSA_PKCS1_PSS_PADDING)
				    : verify_digest(k->pkey, b, md, digest, 0)))
				continue;
			ERR_clear_error();
			problem_add(problems,
			    "a signature over %s is refused (by key %s): sign "
			    "over SHA-256",
			    names[n], k->id);
			return true;
		}
	}
	ERR_clear_error();
	return false;
}

int
signature_verify(const struct keyring *ring, const char *signature,
    const void *data, size_t len, const uint8_t sha256[32],
    const struct keyring_key **key, uint32_t *version,
    struct problems *problems)
{
	struct signed_bytes b = { .data = data, .len = len, .sha256 = sha256 };
	const struct keyring_key *k;
	unsigned int i, tried = 0;
	const char *last = "";
	int r;

	*key = NULL;
	*version = 0;
	r = decode(signature, &b, version, problems);
	if (r < 0)
		return r;
	r = check_version(ring, *version, problems);
	for (i = 0; r == 0 && i < ring->count; i++) {
		k = &ring->keys[i];
		if (ring->versioned &&
		    (k->version < ring->min_version ||
			(*version != 0 && k->version != *version)))
			continue;
		tried++;
		last = k->id;
		if (verify_with(k, &b)) {
			*key = k;
			ERR_clear_error();
			return 0;
		}
	}
	ERR_clear_error();
	if (r < 0)
		return r;
	if (name_refused_digest(ring, &b, problems))
		return -EBADMSG;
	problem_add(problems,
	    "signature mismatch: none of %u trusted key(s) (%s%s) made this "
	    "signature over these %zu bytes",
	    tried, last, tried > 1 ? ", ..." : "", len);
	return -EBADMSG;
}
