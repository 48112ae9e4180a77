/* SPDX-License-Identifier: ISC */
#include "common/pubkey.h"

#include <stdint.h>
#include <string.h>

#define PEM_BEGIN "-----BEGIN PUBLIC KEY-----\n"
#define PEM_END   "-----END PUBLIC KEY-----\n"
#define PEM_LINE  64

#define RAW_ED25519 32
#define DER_MIN     44 /* Ed25519; RSA and EC keys are longer */

/* SubjectPublicKeyInfo of Ed25519 up to the key's 32 bytes (RFC 8410). */
static const uint8_t ed25519_prefix[] = { 0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
	0x2b, 0x65, 0x70, 0x03, 0x21, 0x00 };

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool
pubkey_is_file(const char *value)
{
	return strncmp(value, "file:", 5) == 0;
}

const char *
pubkey_file(const char *value)
{
	const char *path = value + strlen("file:");

	/* file:///path is what people who think of URLs write. */
	if (strncmp(path, "///", 3) == 0)
		path += 2;
	return path;
}

/*
 * Decode base64 (blanks between are skipped) into OUT, which takes
 * strlen(S) bytes.  Length or -EINVAL.
 */
static ssize_t
base64_decode(const char *s, uint8_t *out)
{
	unsigned int bits = 0, n = 0, pad = 0;
	size_t len = 0;
	const char *p;

	for (; *s != '\0'; s++) {
		if (strchr(" \t\r\n", *s) != NULL)
			continue;
		if (*s == '=') {
			pad++;
			continue;
		}
		p = strchr(alphabet, *s);
		if (p == NULL || pad > 0)
			return -EINVAL;
		bits = bits << 6 | (unsigned int)(p - alphabet);
		if (++n % 4 == 0) {
			out[len++] = (uint8_t)(bits >> 16);
			out[len++] = (uint8_t)(bits >> 8);
			out[len++] = (uint8_t)bits;
		}
	}
	if (pad > 2 || (pad > 0 && (n + pad) % 4 != 0) || n % 4 == 1)
		return -EINVAL;
	if (n % 4 == 2) {
		out[len++] = (uint8_t)(bits >> 4);
	} else if (n % 4 == 3) {
		out[len++] = (uint8_t)(bits >> 10);
		out[len++] = (uint8_t)(bits >> 2);
	}
	return (ssize_t)len;
}

/* PEM of DER bytes.  Owned, NULL without memory. */
static char *
pem_encode(const uint8_t *der, size_t len)
{
	size_t chars = (len + 2) / 3 * 4, i, col = 0;
	char *pem, *p;

	pem = malloc(
	    sizeof(PEM_BEGIN) + chars + chars / PEM_LINE + 1 + sizeof(PEM_END));
	if (pem == NULL)
		return NULL;
	p = stpcpy(pem, PEM_BEGIN);
	for (i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)der[i] << 16 |
		    (i + 1 < len ? (uint32_t)der[i + 1] << 8 : 0) |
		    (i + 2 < len ? (uint32_t)der[i + 2] : 0);

		*p++ = alphabet[v >> 18];
		*p++ = alphabet[v >> 12 & 63];
		*p++ = i + 1 < len ? alphabet[v >> 6 & 63] : '=';
		*p++ = i + 2 < len ? alphabet[v & 63] : '=';
		col += 4;
		if (col == PEM_LINE || i + 3 >= len) {
			*p++ = '\n';
			col = 0;
		}
	}
	(void)strcpy(p, PEM_END);
	return pem;
}

/* The outermost SEQUENCE must be exactly as long as the bytes are. */
static bool
der_is_whole(const uint8_t *der, size_t len)
{
	size_t n, i, body = 0;

	if (len < DER_MIN || der[0] != 0x30)
		return false;
	if (der[1] < 0x80)
		return len == (size_t)der[1] + 2;
	n = der[1] & 0x7f;
	if (n < 1 || n > 3)
		return false;
	for (i = 0; i < n; i++)
		body = body << 8 | der[2 + i];
	return len == body + 2 + n;
}

static int
pem_from_text(const char *value, char **pem, const char **what)
{
	char *out, *p;

	if (strstr(value, "PRIVATE KEY") != NULL) {
		*what = "this is a PRIVATE key, which must not be on this "
			"host: give the public one";
		return -EINVAL;
	}
	if (strstr(value, "-----BEGIN PUBLIC KEY-----") == NULL ||
	    strstr(value, "-----END PUBLIC KEY-----") == NULL) {
		*what = "PEM without a whole \"-----BEGIN PUBLIC KEY-----\" "
			"block";
		return -EINVAL;
	}
	if (pem == NULL)
		return 0;
	p = out = malloc(strlen(value) + 2);
	if (out == NULL) {
		*what = "out of memory";
		return -ENOMEM;
	}
	while (*value != '\0') {
		if (value[0] == '\\' && value[1] == 'n') {
			*p++ = '\n';
			value += 2;
		} else if (value[0] == '\\' && value[1] == 'r') {
			value += 2;
		} else {
			*p++ = *value++;
		}
	}
	if (p == out || p[-1] != '\n')
		*p++ = '\n';
	*p = '\0';
	*pem = out;
	return 0;
}

int
pubkey_to_pem(const char *value, char **pem, const char **what)
{
	_cleanup_free_ uint8_t *der = NULL;
	ssize_t n;

	if (strstr(value, "-----BEGIN ") != NULL)
		return pem_from_text(value, pem, what);
	der = malloc(sizeof(ed25519_prefix) + strlen(value) + 3);
	if (der == NULL) {
		*what = "out of memory";
		return -ENOMEM;
	}
	memcpy(der, ed25519_prefix, sizeof(ed25519_prefix));
	n = base64_decode(value, der + sizeof(ed25519_prefix));
	if (n != RAW_ED25519 &&
	    (n < 0 || !der_is_whole(der + sizeof(ed25519_prefix), (size_t)n))) {
		*what = "must be PEM, base64 of a DER SubjectPublicKeyInfo, "
			"base64 of a raw Ed25519 key (32 bytes), or file: and "
			"an absolute path";
		return -EINVAL;
	}
	if (pem == NULL)
		return 0;
	if (n == RAW_ED25519)
		*pem = pem_encode(der, sizeof(ed25519_prefix) + RAW_ED25519);
	else
		*pem = pem_encode(der + sizeof(ed25519_prefix), (size_t)n);
	if (*pem == NULL) {
		*what = "out of memory";
		return -ENOMEM;
	}
	return 0;
}
