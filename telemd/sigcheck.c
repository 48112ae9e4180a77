/* SPDX-License-Identifier: ISC */
#include "telemd/sigcheck.h"

#include <openssl/pem.h>
#include <string.h>

#include "common/clock.h"
#include "telemd/pipeline.h"

#define RAW_KEY 32

/*
 * Strict base64 into at most SIZE bytes; the length, or -EINVAL.  OpenSSL
 * counts the padding as bytes.
 */
static int
base64_decode(const char *s, uint8_t *out, size_t size)
{
	size_t len = strlen(s), pad = 0;
	uint8_t buf[512];
	int n;

	if (len == 0 || len % 4 != 0 || len / 4 * 3 > sizeof(buf))
		return -EINVAL;
	while (pad < 2 && s[len - 1 - pad] == '=')
		pad++;
	n = EVP_DecodeBlock(buf, (const unsigned char *)s, (int)len);
	if (n < 0 || (size_t)n < pad || (size_t)n - pad > size)
		return -EINVAL;
	memcpy(out, buf, (size_t)n - pad);
	return n - (int)pad;
}

static EVP_PKEY *
parse_pem(const char *text)
{
	BIO *bio = BIO_new_mem_buf(text, -1);
	EVP_PKEY *key = NULL;

	if (bio != NULL)
		key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	BIO_free(bio);
	return key;
}

static EVP_PKEY *
parse_base64(const char *text)
{
	uint8_t der[256];
	const uint8_t *p = der;
	char line[512];
	int n;

	if (str_copy(line, sizeof(line), text) < 0)
		return NULL;
	line[strcspn(line, "\r\n ")] = '\0';
	n = base64_decode(line, der, sizeof(der));
	if (n == RAW_KEY)
		return EVP_PKEY_new_raw_public_key(
		    EVP_PKEY_ED25519, NULL, der, RAW_KEY);
	return n > 0 ? d2i_PUBKEY(NULL, &p, n) : NULL;
}

int
sigcheck_init(struct sigcheck *sc, const char *text)
{
	memset(sc, 0, sizeof(*sc));
	sc->key = strstr(text, "-----BEGIN") != NULL ? parse_pem(text)
						     : parse_base64(text);
	if (sc->key != NULL && EVP_PKEY_get_id(sc->key) == EVP_PKEY_ED25519)
		return 0;
	sigcheck_free(sc);
	return -EINVAL;
}

void
sigcheck_free(struct sigcheck *sc)
{
	EVP_PKEY_free(sc->key);
	sc->key = NULL;
}

static bool
signature_holds(struct sigcheck *sc, const uint8_t *signature,
    const char *subject, const char *time, const void *body, size_t len)
{
	struct jsonbuf text = { 0 };
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool holds;

	jsonbuf_text(&text, subject);
	jsonbuf_lit(&text, "\n");
	jsonbuf_text(&text, time);
	jsonbuf_lit(&text, "\n");
	jsonbuf_raw(&text, body, len);
	holds = ctx != NULL && !text.failed &&
	    EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, sc->key) == 1 &&
	    EVP_DigestVerify(ctx, signature, SIGCHECK_SIGNATURE,
		(const unsigned char *)text.data, text.len) == 1;
	EVP_MD_CTX_free(ctx);
	jsonbuf_free(&text);
	return holds;
}

/* Forget what the window refuses anyway; then: is it a replay, is there
 * room? */
static const char *
remember(struct sigcheck *sc, const uint8_t *signature, int64_t until_ns,
    int64_t now_ns)
{
	size_t i, kept = 0;

	for (i = 0; i < sc->count; i++)
		if (sc->seen[i].forget_ns >= now_ns)
			sc->seen[kept++] = sc->seen[i];
	sc->count = kept;
	for (i = 0; i < sc->count; i++)
		if (memcmp(sc->seen[i].signature, signature,
			SIGCHECK_SIGNATURE) == 0)
			return "this signal was here before";
	if (sc->count == SIGCHECK_SEEN_MAX)
		return "too many signals in a minute";
	memcpy(sc->seen[sc->count].signature, signature, SIGCHECK_SIGNATURE);
	sc->seen[sc->count++].forget_ns = until_ns;
	return NULL;
}

const char *
sigcheck_verify(struct sigcheck *sc, const char *subject, const char *time,
    const char *signature, const void *body, size_t len, int64_t now_wall_ns)
{
	const int64_t window = SIGCHECK_WINDOW_SEC * NSEC_PER_SEC;
	uint8_t raw[SIGCHECK_SIGNATURE];
	int64_t when;

	if (sc->key == NULL)
		return "AGENT_ROLLBACK_SIGNAL_KEY cannot be used";
	if (time[0] == '\0' || signature[0] == '\0')
		return "it is not signed: the headers " SIGCHECK_TIME_HEADER
		       " and " SIGCHECK_SIGNATURE_HEADER " are needed";
	if (clock_parse_rfc3339(time, &when) < 0)
		return SIGCHECK_TIME_HEADER " is not RFC 3339";
	if (when < now_wall_ns - window || when > now_wall_ns + window)
		return SIGCHECK_TIME_HEADER " is more than 60 s off";
	if (base64_decode(signature, raw, sizeof(raw)) != sizeof(raw) ||
	    !signature_holds(sc, raw, subject, time, body, len))
		return SIGCHECK_SIGNATURE_HEADER " does not hold";
	return remember(sc, raw, when + window, now_wall_ns);
}
