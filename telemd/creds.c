/* SPDX-License-Identifier: ISC */
#include "telemd/creds.h"

#include <openssl/evp.h>
#include <stdint.h>
#include <string.h>

#define JWT_HEAD  "-----BEGIN NATS USER JWT-----"
#define SEED_HEAD "-----BEGIN USER NKEY SEED-----"

#define PREFIX_USER (20 << 3) /* the first letter is U */
#define SEED_LEN    58        /* characters */

static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/* The first line after HEAD that is not blank: its offset and length. */
static size_t
line_after(const char *text, const char *head, size_t *off)
{
	const char *p = strstr(text, head);

	if (p == NULL)
		return 0;
	p += strcspn(p, "\r\n");
	p += strspn(p, "\r\n \t");
	*off = (size_t)(p - text);
	return strcspn(p, "\r\n \t");
}

int
creds_parse(const char *text, size_t *jwt, size_t *jwt_len, size_t *seed,
    size_t *seed_len)
{
	*jwt = *seed = 0;
	*jwt_len = line_after(text, JWT_HEAD, jwt);
	*seed_len = line_after(text, SEED_HEAD, seed);
	if (*seed_len == 0 && *jwt_len == 0) {
		*seed = strspn(text, "\r\n \t");
		*seed_len = strcspn(text + *seed, "\r\n \t");
	}
	if (*seed_len != SEED_LEN || text[*seed] != 'S')
		return -EINVAL;
	return 0;
}

static uint16_t
crc16(const uint8_t *data, size_t len)
{
	uint16_t crc = 0;
	int i;

	while (len-- > 0) {
		crc ^= (uint16_t)(*data++ << 8);
		for (i = 0; i < 8; i++)
			crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021
						      : crc << 1);
	}
	return crc;
}

static int
base32_decode(const char *s, size_t len, uint8_t *out, size_t size)
{
	uint32_t bits = 0;
	unsigned int have = 0;
	size_t i, n = 0;
	const char *c;

	for (i = 0; i < len; i++) {
		c = s[i] != '\0' ? strchr(base32, s[i]) : NULL;
		if (c == NULL)
			return -EINVAL;
		bits = bits << 5 | (uint32_t)(c - base32);
		have += 5;
		if (have >= 8) {
			if (n == size)
				return -EINVAL;
			have -= 8;
			out[n++] = (uint8_t)(bits >> have);
		}
	}
	return n == size ? 0 : -EINVAL;
}

static void
base32_encode(const uint8_t *data, size_t len, char *out)
{
	uint32_t bits = 0;
	unsigned int have = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		bits = bits << 8 | data[i];
		for (have += 8; have >= 5; have -= 5)
			*out++ = base32[bits >> (have - 5) & 31];
	}
	if (have > 0)
		*out++ = base32[bits << (5 - have) & 31];
	*out = '\0';
}

int
creds_public_key(const char *seed, size_t len, char out[57])
{
	/* Two bytes of prefix, the seed, a checksum. */
	uint8_t raw[2 + 32 + 2], key[1 + 32 + 2];
	size_t key_len = 32;
	uint16_t crc;
	EVP_PKEY *pkey;
	int r = -EINVAL;

	if (base32_decode(seed, len, raw, sizeof(raw)) < 0)
		return -EINVAL;
	crc = crc16(raw, 34);
	if (raw[34] == (crc & 0xff) && raw[35] == crc >> 8) {
		pkey = EVP_PKEY_new_raw_private_key(
		    EVP_PKEY_ED25519, NULL, raw + 2, 32);
		key[0] = PREFIX_USER;
		if (pkey != NULL &&
		    EVP_PKEY_get_raw_public_key(pkey, key + 1, &key_len) == 1)
			r = 0;
		EVP_PKEY_free(pkey);
	}
	explicit_bzero(raw, sizeof(raw));
	if (r < 0)
		return r;
	crc = crc16(key, 33);
	key[33] = (uint8_t)crc;
	key[34] = (uint8_t)(crc >> 8);
	base32_encode(key, sizeof(key), out);
	return 0;
}

/* nats.c frees what these two return. */
static natsStatus
give_jwt(char **jwt, char **error, void *closure)
{
	const char *text = closure;
	size_t off, len, seed, seed_len;

	if (creds_parse(text, &off, &len, &seed, &seed_len) < 0)
		return NATS_ERR;
	*jwt = strndup(text + off, len);
	return *jwt != NULL ? NATS_OK : NATS_NO_MEMORY;
}

static natsStatus
sign_nonce(char **error, unsigned char **signature, int *len, const char *nonce,
    void *closure)
{
	const char *text = closure;
	size_t jwt, jwt_len, off, seed_len;
	char seed[SEED_LEN + 1];
	natsStatus s;

	if (creds_parse(text, &jwt, &jwt_len, &off, &seed_len) < 0)
		return NATS_ERR;
	memcpy(seed, text + off, SEED_LEN);
	seed[SEED_LEN] = '\0';
	s = nats_Sign(seed, nonce, signature, len);
	explicit_bzero(seed, sizeof(seed));
	return s;
}

natsStatus
creds_apply(natsOptions *opts, const char *text)
{
	size_t jwt, jwt_len, seed, seed_len;
	void *closure = (void *)(uintptr_t)text;
	char key[57];

	if (creds_parse(text, &jwt, &jwt_len, &seed, &seed_len) < 0)
		return NATS_INVALID_ARG;
	if (jwt_len > 0)
		return natsOptions_SetUserCredentialsCallbacks(
		    opts, give_jwt, closure, sign_nonce, closure);
	if (creds_public_key(text + seed, seed_len, key) < 0)
		return NATS_INVALID_ARG;
	return natsOptions_SetNKey(opts, key, sign_nonce, closure);
}
