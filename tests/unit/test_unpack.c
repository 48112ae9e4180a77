/* SPDX-License-Identifier: ISC */
/*
 * Archives: good ones in every form that packers write, and hostile ones,
 * each refused for its own reason.  Headers are made by hand where no
 * library would write them.
 */
#include <archive.h>
#include <archive_entry.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <zstd.h>

#include "unit.h"
#include "common/limits.h"
#include "verifyd/unpack.h"
#include "verifyd_fixture.h"

/* A tar under construction, and what zstd makes of it. */
struct tar {
	char *bytes;
	size_t len;
	char *packed;
	size_t packed_len;
};

static void
tar_release(struct tar *t)
{
	free(t->bytes);
	free(t->packed);
	memset(t, 0, sizeof(*t));
}

static void
tar_append(struct tar *t, const void *data, size_t len)
{
	size_t padded = (len + 511) / 512 * 512;

	t->bytes = realloc(t->bytes, t->len + padded);
	ck_assert_ptr_nonnull(t->bytes);
	memset(t->bytes + t->len, 0, padded);
	if (len > 0 && data != NULL)
		memcpy(t->bytes + t->len, data, len);
	t->len += padded;
}

/* A ustar header, its checksum right. */
static void
tar_header(
    struct tar *t, const char *name, char type, size_t size, const char *link)
{
	char h[513];
	unsigned int sum = 0, i;

	memset(h, 0, sizeof(h));
	strncpy(h, name, 100);
	memcpy(h + 100, "0000644", 7);
	memcpy(h + 108, "0000000", 7);
	memcpy(h + 116, "0000000", 7);
	(void)snprintf(h + 124, 12, "%011o", (unsigned int)size);
	memcpy(h + 136, "00000000000", 11);
	memset(h + 148, ' ', 8);
	h[156] = type;
	strncpy(h + 157, link, 99);
	memcpy(h + 257, "ustar\00000", 8);
	for (i = 0; i < 512; i++)
		sum += (unsigned char)h[i];
	(void)snprintf(h + 148, 8, "%06o", sum);
	h[155] = ' ';
	tar_append(t, h, 512);
}

static void
tar_file(struct tar *t, const char *name, const char *content)
{
	tar_header(t, name, '0', strlen(content), "");
	tar_append(t, content, strlen(content));
}

static void
tar_good(struct tar *t)
{
	tar_file(t, "metadata.json", "{}");
	tar_file(t, "program.o", "\177ELF");
}

static void
tar_pack(struct tar *t)
{
	size_t room;

	tar_append(t, NULL, 1024);
	room = ZSTD_compressBound(t->len);
	t->packed = malloc(room);
	ck_assert_ptr_nonnull(t->packed);
	t->packed_len = ZSTD_compress(t->packed, room, t->bytes, t->len, 3);
	ck_assert(!ZSTD_isError(t->packed_len));
}

/* Pack T, unpack it, and compare; releases T. */
static void
expect(struct tar *t, const char *problem)
{
	struct unpacked u = UNPACKED_INIT;
	struct problems p = { 0 };
	int r;

	if (t->packed == NULL)
		tar_pack(t);
	r = unpack_artifact(t->packed, t->packed_len, &u, &p);
	expect_problem(&p, problem, "unpack");
	ck_assert_int_eq(r, problem == NULL ? 0 : -EBADMSG);
	if (problem != NULL) {
		ck_assert_int_eq(u.object_fd, -1);
		ck_assert_ptr_null(u.metadata);
	}
	unpacked_release(&u);
	tar_release(t);
}

START_TEST (a_plain_artifact) {
	struct unpacked u = UNPACKED_INIT;
	struct problems p = { 0 };
	struct tar t = { 0 };
	uint8_t sum[32];

	tar_file(&t, "metadata.json", "{\"a\":1}");
	tar_file(&t, "README", "ignored");
	tar_file(&t, "program.o", "\177ELF and more");
	tar_pack(&t);
	ck_assert_int_eq(unpack_artifact(t.packed, t.packed_len, &u, &p), 0);
	ck_assert_str_eq(u.metadata, "{\"a\":1}");
	ck_assert_uint_eq(u.metadata_len, 7);
	ck_assert_uint_eq(u.object.len, 13);
	ck_assert_int_eq(memcmp(u.object.data, "\177ELF and more", 13), 0);
	ck_assert_uint_eq(u.member_count, 3);
	SHA256((const unsigned char *)"ignored", 7, sum);
	ck_assert_ptr_nonnull(unpacked_find(&u, "README"));
	ck_assert_int_eq(
	    memcmp(unpacked_find_sum(&u, "README")->sha256, sum, 32), 0);
	ck_assert_ptr_null(unpacked_find_sum(&u, "other"));
	SHA256((const unsigned char *)"\177ELF and more", 13, sum);
	ck_assert_int_eq(
	    memcmp(unpacked_find_sum(&u, "program.o")->sha256, sum, 32), 0);
	/* Nobody can change what was unpacked. */
	ck_assert_int_eq(write(u.object_fd, "x", 1), -1);
	ck_assert_int_eq(ftruncate(u.object_fd, 0), -1);
	unpacked_release(&u);
	tar_release(&t);
}
END_TEST

START_TEST (names_with_a_dot) {
	struct tar t = { 0 };

	/* As `tar -c .` and `tar -c ./metadata.json` write them. */
	tar_header(&t, "./", '5', 0, "");
	tar_file(&t, "./metadata.json", "{}");
	tar_file(&t, ".//program.o", "\177ELF");
	tar_header(&t, "src/", '5', 0, "");
	tar_file(&t, "src/program.o", "not this one");
	expect(&t, NULL);
}
END_TEST

/* All formats that libarchive, and so bsdtar, writes. */
static void
write_with_library(int (*format)(struct archive *), struct tar *t)
{
	struct archive *a = archive_write_new();
	struct archive_entry *e = archive_entry_new();
	const char *const names[] = { "metadata.json", "program.o" };
	size_t i;

	t->bytes = calloc(1, 65536);
	ck_assert_int_eq(format(a), ARCHIVE_OK);
	ck_assert_int_eq(
	    archive_write_open_memory(a, t->bytes, 65536, &t->len), ARCHIVE_OK);
	for (i = 0; i < 2; i++) {
		archive_entry_clear(e);
		archive_entry_set_pathname(e, names[i]);
		archive_entry_set_size(e, 4);
		archive_entry_set_filetype(e, AE_IFREG);
		archive_entry_set_perm(e, 0644);
		archive_entry_set_mtime(e, 1700000000, 123456789);
		ck_assert_int_eq(archive_write_header(a, e), ARCHIVE_OK);
		ck_assert_int_eq(archive_write_data(a, "1234", 4), 4);
	}
	archive_entry_free(e);
	ck_assert_int_eq(archive_write_close(a), ARCHIVE_OK);
	ck_assert_int_eq(archive_write_free(a), ARCHIVE_OK);
}

START_TEST (formats_of_tar) {
	struct tar t = { 0 };

	write_with_library(archive_write_set_format_ustar, &t);
	expect(&t, NULL);
	write_with_library(archive_write_set_format_pax, &t);
	expect(&t, NULL);
	write_with_library(archive_write_set_format_gnutar, &t);
	expect(&t, NULL);
	write_with_library(archive_write_set_format_v7tar, &t);
	expect(&t, NULL);
	/* What libarchive could read as well. */
	write_with_library(archive_write_set_format_cpio_newc, &t);
	expect(&t, "no tar");
	write_with_library(archive_write_set_format_zip, &t);
	expect(&t, "no tar");
	write_with_library(archive_write_set_format_mtree, &t);
	expect(&t, "no tar");
}
END_TEST

START_TEST (what_is_missing) {
	struct tar t = { 0 };

	tar_file(&t, "metadata.json", "{}");
	expect(&t, "no program.o");
	tar_file(&t, "program.o", "\177ELF");
	expect(&t, "no metadata.json");
	expect(&t, "no metadata.json");
	tar_file(&t, "metadata.json", "{}");
	tar_file(&t, "program.o", "");
	expect(&t, "program.o is empty");
}
END_TEST

START_TEST (kinds_of_members) {
	static const struct {
		char type;
		const char *name;
		const char *link;
		const char *problem;
	} rows[] = {
		{ '1', "program.o2", "metadata.json", "a hard link" },
		{ '2', "x", "/etc/shadow", "a symbolic link" },
		{ '2', "program.o", "metadata.json", "a symbolic link" },
		{ '3', "x", "", "a character device" },
		{ '4', "x", "", "a block device" },
		{ '6', "x", "", "a fifo" },
	};
	struct tar t = { 0 };
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		tar_file(&t, "metadata.json", "{}");
		tar_header(&t, rows[i].name, rows[i].type, 0, rows[i].link);
		tar_file(&t, "program.o", "\177ELF");
		expect(&t, rows[i].problem);
	}
}
END_TEST

START_TEST (names_that_are_refused) {
	static const struct {
		const char *name;
		const char *problem;
	} rows[] = {
		{ "/metadata.json", "absolute path" },
		{ "/etc/passwd", "absolute path" },
		{ "../program.o", "\"..\" in its path" },
		{ "a/../program.o", "\"..\" in its path" },
		{ "a/..", "\"..\" in its path" },
		{ "./..", "\"..\" in its path" },
		{ "a\nb", "control character" },
		{ "a\033[2J", "control character" },
		{ "program.o", "occurs twice" },
		{ "./program.o", "occurs twice" },
		{ "metadata.json", "occurs twice" },
	};
	struct tar t = { 0 };
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		tar_good(&t);
		tar_file(&t, rows[i].name, "x");
		expect(&t, rows[i].problem);
	}
	/* "..." and "..a" are names like any other. */
	tar_good(&t);
	tar_file(&t, ".../..a", "x");
	expect(&t, NULL);
}
END_TEST

/* One pax record "LEN KEY=VALUE\n" before the next member. */
static void
tar_pax(struct tar *t, const char *key, const char *value)
{
	char record[512], body[480];
	int n = 0, len = 0;

	(void)snprintf(body, sizeof(body), " %s=%s\n", key, value);
	/* The length counts its own digits. */
	do {
		n = len;
		len = snprintf(record, sizeof(record), "%d%s", n, body);
	} while (len != n);
	tar_header(t, "PaxHeaders/x", 'x', (size_t)len, "");
	tar_append(t, record, (size_t)len);
}

START_TEST (extended_headers) {
	struct tar t = { 0 };

	/* What Python's tarfile adds is harmless. */
	tar_file(&t, "metadata.json", "{}");
	tar_pax(&t, "mtime", "1700000000.5");
	tar_file(&t, "program.o", "\177ELF");
	expect(&t, NULL);

	tar_good(&t);
	tar_pax(&t, "path", "../../etc/passwd");
	tar_file(&t, "innocent", "x");
	expect(&t, "\"..\" in its path");

	tar_good(&t);
	tar_pax(&t, "path", "program.o");
	tar_file(&t, "innocent", "x");
	expect(&t, "occurs twice");

	tar_good(&t);
	tar_pax(&t, "linkpath", "program.o");
	tar_header(&t, "innocent", '1', 0, "");
	expect(&t, "only regular files may be in an artifact");

	tar_good(&t);
	tar_pax(&t, "SCHILY.xattr.user.x", "y");
	tar_file(&t, "innocent", "x");
	expect(&t, "extended attributes");

	/* More than the archive holds. */
	tar_file(&t, "metadata.json", "{}");
	tar_pax(&t, "size", "99999999999");
	tar_file(&t, "program.o", "\177ELF");
	expect(&t, "size exceeds 64 MiB");

	/* Sparse, as GNU tar 1.0 writes it. */
	tar_file(&t, "metadata.json", "{}");
	tar_pax(&t, "GNU.sparse.map", "0,2,1048576,2");
	tar_file(&t, "program.o", "abcd");
	expect(&t, "sparse");
}
END_TEST

START_TEST (limits) {
	_cleanup_free_ char *big = calloc(1, AEGIS_METADATA_MAX + 2);
	struct tar t = { 0 };
	char name[16];
	int i;

	memset(big, ' ', AEGIS_METADATA_MAX + 1);
	tar_file(&t, "metadata.json", big);
	tar_file(&t, "program.o", "\177ELF");
	expect(&t, "metadata.json has 1048577 bytes, at most 1048576");

	tar_good(&t);
	for (i = 0; i < AEGIS_TAR_MEMBERS - 2; i++) {
		(void)snprintf(name, sizeof(name), "m%d", i);
		tar_file(&t, name, "x");
	}
	tar_pack(&t);
	expect(&t, NULL);

	tar_good(&t);
	for (i = 0; i < AEGIS_TAR_MEMBERS - 1; i++)
		tar_header(&t, "d/", '5', 0, "");
	expect(&t, "more than 64 tar members");
}
END_TEST

START_TEST (bombs) {
	const size_t mib = 1 << 20;
	struct tar t = { 0 };

	/* 32 MiB of zeros in 1 KiB. */
	tar_file(&t, "metadata.json", "{}");
	tar_header(&t, "program.o", '0', 32 * mib, "");
	tar_append(&t, NULL, 32 * mib);
	expect(&t, "compression ratio exceeds 200:1");

	/* In a member that nobody keeps. */
	tar_good(&t);
	tar_header(&t, "zeros", '0', 32 * mib, "");
	tar_append(&t, NULL, 32 * mib);
	expect(&t, "compression ratio exceeds 200:1");

	/* A single member above the limit. */
	tar_file(&t, "metadata.json", "{}");
	tar_header(&t, "program.o", '0', 65 * mib, "");
	expect(&t, "size exceeds 64 MiB");
}
END_TEST

/* Noise: it does not compress, so the ratio is no help. */
START_TEST (many_members_that_are_too_much) {
	const size_t mib = 1 << 20;
	_cleanup_free_ uint32_t *noise = malloc(34 * mib);
	struct tar t = { 0 };
	uint32_t x = 1;
	size_t i;

	for (i = 0; i < 34 * mib / 4; i++) {
		x = x * 1664525 + 1013904223;
		noise[i] = x ^ x >> 16;
	}
	tar_good(&t);
	tar_header(&t, "a", '0', 34 * mib, "");
	tar_append(&t, noise, 34 * mib);
	tar_header(&t, "b", '0', 34 * mib, "");
	tar_append(&t, noise, 34 * mib);
	expect(&t, "extracted size exceeds 64 MiB");
}
END_TEST

START_TEST (damage) {
	struct unpacked u = UNPACKED_INIT;
	struct problems p = { 0 };
	struct tar t = { 0 };
	size_t len;
	int r;

	ck_assert_int_eq(unpack_artifact("", 0, &u, &p), -EBADMSG);
	expect_problem(&p, "not compressed with zstd", "empty");
	tar_good(&t);
	memset(&p, 0, sizeof(p));
	ck_assert_int_eq(unpack_artifact(t.bytes, t.len, &u, &p), -EBADMSG);
	expect_problem(&p, "not compressed with zstd", "bare tar");
	tar_pack(&t);
	/* Cut anywhere: refused, or (behind the last member) whole. */
	for (len = 4; len < t.packed_len; len++) {
		memset(&p, 0, sizeof(p));
		r = unpack_artifact(t.packed, len, &u, &p);
		ck_assert(r == 0 || r == -EBADMSG);
		ck_assert((r == 0) == (p.count == 0));
		if (r == 0)
			ck_assert_uint_eq(u.object.len, 4);
		unpacked_release(&u);
	}
	tar_release(&t);
}
END_TEST

/* What zstd holds is whole, what is in it is not. */
START_TEST (damage_inside) {
	struct tar t = { 0 };

	tar_file(&t, "metadata.json", "{}");
	tar_header(&t, "program.o", '0', 4096, "");
	expect(&t, "damaged or no tar in zstd: Truncated");
	tar_good(&t);
	t.bytes[2 * 512] ^= 1; /* the second header's name: a wrong sum */
	expect(&t, "damaged or no tar in zstd");
}
END_TEST

START_TEST (names_as_long_as_they_may_be) {
	char name[257];
	struct tar t = { 0 };

	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	tar_good(&t);
	tar_pax(&t, "path", name);
	tar_file(&t, "short", "x");
	expect(&t, NULL);
	name[255] = 'n';
	name[256] = '\0';
	tar_good(&t);
	tar_pax(&t, "path", name);
	tar_file(&t, "short", "x");
	expect(&t, "nnnn...\": name longer than 255");
}
END_TEST

START_TEST (zstd_in_zstd) {
	struct tar inner = { 0 }, outer = { 0 };

	tar_good(&inner);
	tar_pack(&inner);
	outer.bytes = malloc(inner.packed_len);
	memcpy(outer.bytes, inner.packed, inner.packed_len);
	outer.len = inner.packed_len;
	outer.packed = malloc(ZSTD_compressBound(outer.len));
	outer.packed_len = ZSTD_compress(outer.packed,
	    ZSTD_compressBound(outer.len), outer.bytes, outer.len, 1);
	expect(&outer, "no tar");
	tar_release(&inner);
}
END_TEST

UNIT_MAIN("unpack", a_plain_artifact, names_with_a_dot, formats_of_tar,
    what_is_missing, kinds_of_members, names_that_are_refused, extended_headers,
    limits, bombs, many_members_that_are_too_much, damage, damage_inside,
    names_as_long_as_they_may_be, zstd_in_zstd)
