/* SPDX-License-Identifier: ISC */
#include "aegisctl/sign.h"

#include <err.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

#include "aegisctl/files.h"
#include "common/limits.h"
#include "common/memfd.h"
#include "common/strnum.h"

static void
key_freep(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

static void
ctx_freep(EVP_MD_CTX **ctx)
{
	EVP_MD_CTX_free(*ctx);
}

/* A key with a passphrase is asked for on the terminal. */
static EVP_PKEY *
read_key(const char *path)
{
	FILE *f = fopen(path, "re");
	EVP_PKEY *key;

	if (f == NULL) {
		warn("%s", path);
		return NULL;
	}
	key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	(void)fclose(f);
	if (key == NULL)
		warnx("%s: no private key in PEM", path);
	return key;
}

/* The digest that verifyd takes for a key of this kind; NULL: none. */
static int
choose_digest(const char *path, EVP_PKEY *key, const char **digest)
{
	*digest = NULL;
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_ED25519:
		return 0;
	case EVP_PKEY_EC:
		*digest = EVP_PKEY_get_bits(key) > 256 ? "SHA384" : "SHA256";
		return 0;
	case EVP_PKEY_RSA:
		*digest = "SHA256";
		return 0;
	default:
		warnx("%s: a key of type %s: wanted Ed25519, ECDSA P-256 or "
		      "P-384, or RSA",
		    path, EVP_PKEY_get0_type_name(key));
		return -EINVAL;
	}
}

static int
public_half(EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long len;
	int fd = -EIO;

	if (bio == NULL)
		return -ENOMEM;
	if (PEM_write_bio_PUBKEY(bio, key) == 1) {
		len = BIO_get_mem_data(bio, &text);
		fd = memfd_from_bytes("key", text, (size_t)len);
	}
	BIO_free(bio);
	return fd;
}

int
sign_bytes(const char *path, const void *data, size_t len, char *signature,
    size_t size)
{
	_cleanup_(key_freep) EVP_PKEY *key = read_key(path);
	_cleanup_(ctx_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char raw[1024];
	size_t raw_len = sizeof(raw);
	const char *digest;
	int r;

	if (key == NULL || ctx == NULL)
		return -EINVAL;
	r = choose_digest(path, key, &digest);
	if (r < 0)
		return r;
	if (EVP_DigestSignInit_ex(ctx, NULL, digest, NULL, NULL, key, NULL) !=
		1 ||
	    EVP_DigestSign(ctx, raw, &raw_len, data, len) != 1 ||
	    4 * (raw_len + 2) / 3 + 4 > size) {
		warnx("%s: OpenSSL does not sign with it", path);
		return -EIO;
	}
	files_base64(raw, raw_len, signature);
	return public_half(key);
}

int
sign_sha256(const void *data, size_t len, char *hex)
{
	unsigned char sum[AEGIS_SHA256_SIZE];

	if (EVP_Digest(data, len, sum, NULL, EVP_sha256(), NULL) != 1)
		return -EIO;
	strnum_format_hex(sum, sizeof(sum), hex);
	return 0;
}
