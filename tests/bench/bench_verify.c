/* SPDX-License-Identifier: ISC */
/*
 * What verifyd's checks cost above the bare floor: a signature over a 1 MB
 * artifact checked with EVP and its members read with libarchive, in one
 * process, over the same bytes.  verifyd's result goes to another process,
 * so one process hop is allowed besides: writing the object to a memfd and
 * sealing it, which is measured by itself.  Medians of 20, taking turns.
 *
 *	bench_verify
 */
#include <archive.h>
#include <archive_entry.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/memfd.h"
#include "figures.h"
#include "verifyd/signature.h"
#include "verifyd/unpack.h"

#define OBJECT_LEN  (4900u << 10)
#define PACKED_ROOM (8u << 20)
#define BOUND       1.3

struct bench {
	EVP_PKEY *key;
	struct keyring ring;
	unsigned char *data;
	size_t len;
	unsigned char sig[256];
	size_t sig_len;
	char text[512]; /* the same, base64 */
};

static void __attribute__((noreturn)) die(const char *what)
{
	(void)fprintf(stderr, "bench_verify: %s\n", what);
	exit(1);
}

/* CPU time of this process: others on the machine do not count. */
static int64_t
cpu_ns(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == -1)
		die("clock_gettime");
	return t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

/* An object about as dense as code and BTF: it packs to about a fifth. */
static void
fill_object(unsigned char *p, size_t len)
{
	uint32_t x = 1;
	size_t i;

	for (i = 0; i < len; i++) {
		x = x * 1664525 + 1013904223;
		p[i] = i % 16 < 2 || i % 64 == 5 ? (unsigned char)(x >> 24) : 0;
	}
}

static void
add_member(struct archive *a, const char *name, const void *data, size_t len)
{
	struct archive_entry *e = archive_entry_new();

	archive_entry_set_pathname(e, name);
	archive_entry_set_size(e, (la_int64_t)len);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0644);
	if (archive_write_header(a, e) != ARCHIVE_OK ||
	    archive_write_data(a, data, len) != (la_ssize_t)len)
		die(archive_error_string(a));
	archive_entry_free(e);
}

static void
make_artifact(struct bench *b)
{
	_cleanup_free_ unsigned char *object = malloc(OBJECT_LEN);
	struct archive *a = archive_write_new();

	b->data = malloc(PACKED_ROOM);
	if (object == NULL || b->data == NULL || a == NULL)
		die("memory");
	fill_object(object, OBJECT_LEN);
	if (archive_write_add_filter_zstd(a) != ARCHIVE_OK ||
	    archive_write_set_format_ustar(a) != ARCHIVE_OK ||
	    archive_write_open_memory(a, b->data, PACKED_ROOM, &b->len) !=
		ARCHIVE_OK)
		die("libarchive");
	add_member(a, "metadata.json", "{}", 2);
	add_member(a, "program.o", object, OBJECT_LEN);
	if (archive_write_close(a) != ARCHIVE_OK)
		die("libarchive");
	(void)archive_write_free(a);
}

static void
make_signature(struct bench *b, EVP_PKEY *key, const EVP_MD *md)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct problems p = { 0 };
	unsigned char *spki = NULL;
	char text[1024];
	int n;

	b->key = key;
	b->sig_len = sizeof(b->sig);
	if (EVP_DigestSignInit(ctx, NULL, md, NULL, key) != 1 ||
	    EVP_DigestSign(ctx, b->sig, &b->sig_len, b->data, b->len) != 1)
		die("signature");
	EVP_MD_CTX_free(ctx);
	(void)EVP_EncodeBlock(
	    (unsigned char *)b->text, b->sig, (int)b->sig_len);
	n = i2d_PUBKEY(key, &spki);
	(void)EVP_EncodeBlock((unsigned char *)text, spki, n);
	OPENSSL_free(spki);
	if (keyring_load_text(&b->ring, text, strlen(text), &p) < 0)
		die(problems_text(&p));
}

/* The least that anybody would do: verify, then read both members. */
static int64_t
floor_ns(const struct bench *b, const EVP_MD *md)
{
	int64_t start = cpu_ns();
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	size_t size;
	char *p;

	if (EVP_DigestVerifyInit(ctx, NULL, md, NULL, b->key) != 1 ||
	    EVP_DigestVerify(ctx, b->sig, b->sig_len, b->data, b->len) != 1)
		die("the floor does not verify");
	EVP_MD_CTX_free(ctx);
	(void)archive_read_support_filter_zstd(a);
	(void)archive_read_support_format_tar(a);
	if (archive_read_open_memory(a, b->data, b->len) != ARCHIVE_OK)
		die("the floor does not open");
	while (archive_read_next_header(a, &e) == ARCHIVE_OK) {
		size = (size_t)archive_entry_size(e);
		p = malloc(size);
		if (p == NULL ||
		    archive_read_data(a, p, size) != (la_ssize_t)size)
			die("the floor does not read");
		free(p);
	}
	(void)archive_read_free(a);
	return cpu_ns() - start;
}

/* What verifyd does, from the bytes to the sealed object. */
static int64_t
ours_ns(const struct bench *b)
{
	int64_t start = cpu_ns();
	struct unpacked u = UNPACKED_INIT;
	const struct keyring_key *key;
	struct problems p = { 0 };
	uint8_t sha256[32];
	uint32_t version;

	if (EVP_Digest(b->data, b->len, sha256, NULL, EVP_sha256(), NULL) !=
		1 ||
	    signature_verify(&b->ring, b->text, b->data, b->len, sha256, &key,
		&version, &p) < 0 ||
	    unpack_artifact(b->data, b->len, &u, &p) < 0)
		die(problems_text(&p));
	unpacked_release(&u);
	return cpu_ns() - start;
}

/* What it takes to hand the object to somebody else. */
static int64_t
hop_ns(const void *object)
{
	int64_t start = cpu_ns();
	int fd = memfd_from_bytes("bench", object, OBJECT_LEN);

	if (fd < 0)
		die("memfd");
	fd_close(&fd);
	return cpu_ns() - start;
}

static void
run(struct bench *b, const char *name, EVP_PKEY *key, const EVP_MD *md)
{
	_cleanup_free_ unsigned char *object = malloc(OBJECT_LEN);
	int64_t bare[REPEATS], ours[REPEATS], hop[REPEATS];
	double bare_ms, ours_ms, hop_ms, ratio;
	unsigned int i;

	if (key == NULL || object == NULL)
		die("key");
	fill_object(object, OBJECT_LEN);
	make_signature(b, key, md);
	for (i = 0; i < REPEATS; i++) {
		bare[i] = floor_ns(b, md);
		ours[i] = ours_ns(b);
		hop[i] = hop_ns(object);
	}
	bare_ms = figures_median_ms(bare);
	ours_ms = figures_median_ms(ours);
	hop_ms = figures_median_ms(hop);
	ratio = (ours_ms - hop_ms) / bare_ms;
	(void)printf("verify+unpack %zu bytes, %s: bare %.2f ms, verifyd "
		     "%.2f ms, of which the hop %.2f ms, ratio without it "
		     "%.2f (bound %.1f)%s\n",
	    b->len, name, bare_ms, ours_ms, hop_ms, ratio, BOUND,
	    ratio > BOUND ? " EXCEEDED" : "");
	EVP_PKEY_free(key);
}

int
main(void)
{
	static struct bench b;

	make_artifact(&b);
	run(&b, "Ed25519", EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL);
	run(&b, "ECDSA P-256", EVP_EC_gen("P-256"), EVP_sha256());
	keyring_clear(&b.ring);
	free(b.data);
	return 0;
}
