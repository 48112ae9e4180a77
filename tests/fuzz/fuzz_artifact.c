/* SPDX-License-Identifier: ISC */
/*
 * A whole artifact.  The first byte says what the rest is: 0, an artifact
 * that nobody signed: it must be refused before anything of it is looked
 * into; 1, one that the test key signed; 2, a tar, which is compressed and
 * signed here, so that the fuzzer gets to the members.
 *
 * libbpf takes its objects from compilers and crashes on damaged ones; that
 * is what verifyd's sandbox and the signature are for.  So objects other than
 * the fixture's stop at the door here, unless AEGIS_FUZZ_OBJECTS is set.
 */
#include <openssl/evp.h>
#include <stdint.h>
#include <string.h>
#include <zstd.h>

#include "common/strnum.h"
#include "fixtures/small.bpf.h"
#include "verifyd/artifact.h"
#include "verifyd/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static EVP_PKEY *private_key;
static struct keyring keys;

static void
start(void)
{
	unsigned char raw[32] = { 1 }, public[32];
	size_t len = sizeof(public);
	struct problems p = { 0 };
	char text[64];

	private_key =
	    EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, raw, 32);
	if (private_key == NULL ||
	    EVP_PKEY_get_raw_public_key(private_key, public, &len) != 1)
		abort();
	(void)EVP_EncodeBlock((unsigned char *)text, public, 32);
	if (keyring_load_text(&keys, text, strlen(text), &p) < 0)
		abort();
}

static void
sign(const void *data, size_t len, char *out)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char sig[64];
	size_t n = sizeof(sig);

	if (EVP_DigestSignInit(ctx, NULL, NULL, NULL, private_key) != 1 ||
	    EVP_DigestSign(ctx, sig, &n, data, len) != 1)
		abort();
	EVP_MD_CTX_free(ctx);
	(void)EVP_EncodeBlock((unsigned char *)out, sig, (int)n);
}

/* May libbpf see it? */
static bool
is_known_object(const void *data, size_t len)
{
	struct unpacked u = UNPACKED_INIT;
	struct problems p = { 0 };
	bool known = true;

	if (getenv("AEGIS_FUZZ_OBJECTS") != NULL)
		return true;
	if (unpack_artifact(data, len, &u, &p) == 0)
		known = u.object.len == sizeof(fixture_small) &&
		    memcmp(u.object.data, fixture_small, u.object.len) == 0;
	else if (p.count == 0)
		abort();
	unpacked_release(&u);
	return known;
}

static void
verify(const void *data, size_t len, bool is_signed)
{
	static const struct msg_verify_config config = {
		.architecture = "x86_64",
		.kernel_release = "6.1.0",
	};
	struct msg_verify_artifact entry = { .name = "n", .version = "1" };
	struct artifact_input in = { &keys, &config, &entry, data, len, NULL,
		0 };
	struct artifact_output out;

	if (is_signed)
		sign(data, len, entry.signature);
	else
		strcpy(entry.signature, "QUJDRA==");
	artifact_verify(&in, &out);
	if (!is_signed && out.result == WORK_OK)
		abort();
	if (!is_signed &&
	    strstr(problems_text(&out.problems), "signature mismatch") == NULL)
		abort();
	if (out.result != WORK_OK &&
	    (out.object_fd >= 0 || out.plan_fd >= 0 || out.effective_fd >= 0 ||
		out.problems.count == 0 ||
		!str_is_text(problems_text(&out.problems), AEGIS_ERROR_SIZE)))
		abort();
	artifact_output_release(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ void *packed = NULL;
	size_t room;

	if (private_key == NULL)
		start();
	if (size == 0)
		return 0;
	if (data[0] == 2) {
		room = ZSTD_compressBound(size - 1);
		packed = malloc(room);
		if (packed == NULL)
			return 0;
		size = ZSTD_compress(packed, room, data + 1, size - 1, 1);
		if (is_known_object(packed, size))
			verify(packed, size, true);
		return 0;
	}
	if (data[0] > 1)
		return -1;
	if (data[0] == 0 || is_known_object(data + 1, size - 1))
		verify(data + 1, size - 1, data[0] == 1);
	return 0;
}
