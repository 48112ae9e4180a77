/* SPDX-License-Identifier: ISC */
#include "verifyd/keyring.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#include "common/strnum.h"
#include "verifyd/base64.h"

#define RSA_MIN_BITS 2048
#define RSA_MAX_BITS 8192 /* one check of a longer one is slow on purpose */
#define ED25519_LEN  32

static void
pkey_freep(EVP_PKEY **pkey)
{
	EVP_PKEY_free(*pkey);
}

static void
bio_freep(BIO **bio)
{
	(void)BIO_free(*bio);
}

const char *
key_type_name(enum key_type type)
{
	static const char *const names[] = { "ed25519", "ecdsa-p256",
		"ecdsa-p384", "rsa", "rsa-pss" };

	return names[type];
}

void
keyring_clear(struct keyring *ring)
{
	unsigned int i;

	for (i = 0; i < ring->count; i++)
		EVP_PKEY_free(ring->keys[i].pkey);
	memset(ring, 0, sizeof(*ring));
}

/* Which of the admitted types KEY is.  -ENOTSUP after saying what it is. */
static int
classify(const EVP_PKEY *key, const char *where, enum key_type *type,
    struct problems *problems)
{
	char group[64] = "unnamed curve";
	int bits = EVP_PKEY_get_bits(key);
	bool pss = EVP_PKEY_is_a(key, "RSA-PSS") == 1;

	if (EVP_PKEY_is_a(key, "ED25519")) {
		*type = KEY_ED25519;
		return 0;
	}
	if (EVP_PKEY_is_a(key, "EC")) {
		(void)EVP_PKEY_get_utf8_string_param(key,
		    OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), NULL);
		*type = strcmp(group, "prime256v1") == 0 ? KEY_P256 : KEY_P384;
		if (*type == KEY_P256 || strcmp(group, "secp384r1") == 0)
			return 0;
		problem_add(problems,
		    "%s: ECDSA curve %s is not accepted, only P-256 and P-384",
		    where, group);
		return -ENOTSUP;
	}
	if (!pss && !EVP_PKEY_is_a(key, "RSA")) {
		problem_add(problems,
		    "%s: key type %s is not accepted, only Ed25519, ECDSA "
		    "(P-256, P-384) and RSA",
		    where, EVP_PKEY_get0_type_name(key));
		return -ENOTSUP;
	}
	if (bits < RSA_MIN_BITS || bits > RSA_MAX_BITS) {
		problem_add(problems,
		    "%s: a %d-bit RSA key is not accepted, only %d to %d bits",
		    where, bits, RSA_MIN_BITS, RSA_MAX_BITS);
		return -ENOTSUP;
	}
	*type = pss ? KEY_RSA_PSS : KEY_RSA;
	return 0;
}

/* The id by which logs name a key: type, and what `openssl pkey -pubin
 * -outform DER | sha256sum` starts with. */
static void
make_id(struct keyring_key *key)
{
	unsigned char md[EVP_MAX_MD_SIZE], *der = NULL;
	char hex[17] = "?";
	int len = i2d_PUBKEY(key->pkey, &der);

	if (len > 0 &&
	    EVP_Digest(der, (size_t)len, md, NULL, EVP_sha256(), NULL) == 1)
		strnum_format_hex(md, 8, hex);
	OPENSSL_free(der);
	(void)snprintf(
	    key->id, sizeof(key->id), "%s:%s", key_type_name(key->type), hex);
}

/* Take PKEY into the ring, or say why not. */
static void
add_key(struct keyring *ring, EVP_PKEY *pkey, uint32_t version,
    const char *where, struct problems *problems)
{
	_cleanup_(pkey_freep) EVP_PKEY *owned = pkey;
	struct keyring_key *key;
	enum key_type type;

	if (classify(owned, where, &type, problems) < 0)
		return;
	if (ring->count == KEYRING_MAX) {
		problem_add(
		    problems, "%s: more than %d keys", where, KEYRING_MAX);
		return;
	}
	key = &ring->keys[ring->count++];
	key->pkey = owned;
	owned = NULL;
	key->type = type;
	key->version = version;
	make_id(key);
}

static void
add_base64(struct keyring *ring, const char *text, size_t len, uint32_t version,
    const char *where, struct problems *problems)
{
	uint8_t der[4096];
	const unsigned char *p = der;
	EVP_PKEY *pkey;
	size_t at;
	int n;

	n = base64_decode(text, len, der, sizeof(der), &at);
	if (n < 0) {
		problem_add(problems,
		    "%s: neither PEM nor base64 (character %zu)", where,
		    at + 1);
		return;
	}
	if (n == ED25519_LEN)
		pkey = EVP_PKEY_new_raw_public_key(
		    EVP_PKEY_ED25519, NULL, der, ED25519_LEN);
	else
		pkey = d2i_PUBKEY(NULL, &p, n);
	if (pkey == NULL || (n != ED25519_LEN && p != der + n)) {
		EVP_PKEY_free(pkey);
		ERR_clear_error();
		problem_add(problems,
		    "%s: %d bytes of base64 are neither a raw Ed25519 key "
		    "(32 bytes) nor a DER SubjectPublicKeyInfo",
		    where, n);
		return;
	}
	add_key(ring, pkey, version, where, problems);
}

static void
add_pem_block(struct keyring *ring, const char *name, const unsigned char *der,
    long len, uint32_t version, const char *where, struct problems *problems)
{
	const unsigned char *p = der;
	EVP_PKEY *pkey;

	if (strcmp(name, PEM_STRING_PUBLIC) == 0)
		pkey = d2i_PUBKEY(NULL, &p, len);
	else if (strcmp(name, PEM_STRING_RSA_PUBLIC) == 0)
		pkey = d2i_PublicKey(EVP_PKEY_RSA, NULL, &p, len);
	else {
		problem_add(problems, "%s: a PEM block \"%.40s\"%s", where,
		    name,
		    strstr(name, "PRIVATE") != NULL
			? " is a private key: it belongs to the signer alone; "
			  "give its public half (openssl pkey -pubout)"
			: ", wanted \"PUBLIC KEY\"");
		return;
	}
	if (pkey == NULL || p != der + len) {
		EVP_PKEY_free(pkey);
		ERR_clear_error();
		problem_add(problems, "%s: not a valid public key", where);
		return;
	}
	add_key(ring, pkey, version, where, problems);
}

static void
add_pem(struct keyring *ring, const char *text, size_t len, uint32_t version,
    const char *where, struct problems *problems)
{
	_cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(text, (int)len);
	unsigned int block = 0;
	unsigned char *der;
	char *name, *header;
	char at[96];
	long der_len;

	if (bio == NULL) {
		problem_add(problems, "%s: out of memory", where);
		return;
	}
	while (PEM_read_bio(bio, &name, &header, &der, &der_len) == 1) {
		(void)snprintf(
		    at, sizeof(at), "%s, PEM block %u", where, ++block);
		add_pem_block(ring, name, der, der_len, version, at, problems);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_free(der);
	}
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		problem_add(
		    problems, "%s: PEM block %u is damaged", where, block + 1);
	ERR_clear_error();
}

static void
add_text(struct keyring *ring, const char *text, size_t len, uint32_t version,
    const char *where, struct problems *problems)
{
	while (len > 0 &&
	    (text[len - 1] == '\0' || text[len - 1] == '\n' ||
		text[len - 1] == '\r' || text[len - 1] == ' '))
		len--;
	if (memmem(text, len, "-----BEGIN", 10) != NULL)
		add_pem(ring, text, len, version, where, problems);
	else
		add_base64(ring, text, len, version, where, problems);
}

int
keyring_load_text(struct keyring *ring, const char *text, size_t len,
    struct problems *problems)
{
	keyring_clear(ring);
	if (len > 0)
		add_text(ring, text, len, 0, "public key", problems);
	return ring->count > 0 ? 0 : -ENOKEY;
}

int
keyring_load_set(
    struct keyring *ring, const struct keyset *set, struct problems *problems)
{
	const struct keyset_key *key;
	char where[48];
	uint32_t i;

	keyring_clear(ring);
	ring->versioned = true;
	ring->min_version = set->header->min_version;
	for (i = 0; i < set->header->key_count; i++) {
		key = &set->keys[i];
		(void)snprintf(
		    where, sizeof(where), "Vault key version %u", key->version);
		add_text(ring, key->text, key->text_len, key->version, where,
		    problems);
	}
	return ring->count > 0 ? 0 : -ENOKEY;
}
