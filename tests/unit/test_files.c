/* SPDX-License-Identifier: ISC */
/* What aegisctl's offline commands read and write. */
#include "aegisctl/files.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/memfd.h"
#include "tests/unit/unit.h"

#define RAW "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="

static char base[64];
static char path[128];

static void
begin(void)
{
	(void)snprintf(base, sizeof(base), "/tmp/aegis-test-files-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(base));
	(void)snprintf(path, sizeof(path), "%s/file", base);
	/* Where what is said goes is nobody's business here. */
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
}

static void
end(void)
{
	char sig[160];

	(void)snprintf(sig, sizeof(sig), "%s.sig", path);
	(void)unlink(path);
	(void)unlink(sig);
	/* Nothing half-written is left. */
	ck_assert_int_eq(rmdir(base), 0);
}

static void
put(const char *suffix, const void *data, size_t len)
{
	char name[160];
	FILE *f;

	(void)snprintf(name, sizeof(name), "%s%s", path, suffix);
	f = fopen(name, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(data, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

START_TEST (a_file_is_read_whole_or_not_at_all) {
	_cleanup_free_ char *text = NULL;
	char *none = NULL;
	size_t len = 0;

	begin();
	put("", "a\0b", 3);
	ck_assert_int_eq(files_read(path, 3, &text, &len), 0);
	ck_assert_uint_eq(len, 3);
	ck_assert_mem_eq(text, "a\0b\0", 4);
	ck_assert_int_eq(files_read(path, 2, &none, &len), -EFBIG);
	ck_assert_int_eq(files_read(base, 100, &none, &len), -EFBIG);
	ck_assert_int_eq(files_read("/dev/zero", 100, &none, &len), -EFBIG);
	ck_assert_int_eq(files_read("/nonexistent", 9, &none, &len), -ENOENT);
	ck_assert_ptr_null(none);
	end();
}
END_TEST

START_TEST (a_sealed_copy_cannot_change) {
	_cleanup_memfd_map_ struct memfd_map map = { NULL, 0 };
	_cleanup_fd_ int fd = -1;

	begin();
	put("", "bytes", 5);
	fd = files_seal(path, 100);
	ck_assert_int_ge(fd, 0);
	put("", "other", 5);
	ck_assert_int_eq(memfd_map(fd, 100, &map), 0);
	ck_assert_uint_eq(map.len, 5);
	ck_assert_mem_eq(map.data, "bytes", 5);
	ck_assert_int_eq(write(fd, "x", 1), -1);
	ck_assert_int_eq(files_seal("/nonexistent", 9), -ENOENT);
	end();
}
END_TEST

/* The text of the anchors that KEY names. */
static void
check_keys(const char *key, const char *start)
{
	_cleanup_memfd_map_ struct memfd_map map = { NULL, 0 };
	_cleanup_fd_ int fd = files_keys(key);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(memfd_map(fd, 1 << 20, &map), 0);
	ck_assert_uint_ge(map.len, strlen(start));
	ck_assert_mem_eq(map.data, start, strlen(start));
}

START_TEST (keys_are_files_or_texts) {
	char name[160];

	begin();
	ck_assert_int_eq(unsetenv("AGENT_PUBLIC_KEY"), 0);
	check_keys(RAW, "-----BEGIN PUBLIC KEY-----\nMCow");
	put("", "pem text", 8);
	check_keys(path, "pem text");
	(void)snprintf(name, sizeof(name), "file:%s", path);
	check_keys(name, "pem text");
	ck_assert_int_eq(setenv("AGENT_PUBLIC_KEY", name, 1), 0);
	check_keys(NULL, "pem text");
	ck_assert_int_eq(setenv("AGENT_PUBLIC_KEY", RAW, 1), 0);
	check_keys(NULL, "-----BEGIN");
	/* What is said on the command line wins. */
	check_keys(path, "pem text");
	ck_assert_int_eq(files_keys("no such thing"), -EINVAL);
	ck_assert_int_eq(files_keys("file:/nonexistent"), -ENOENT);
	ck_assert_int_eq(files_keys(""), -ENOKEY);
	end();
}
END_TEST

START_TEST (signatures_are_files_or_texts) {
	static const unsigned char bare[] = { 0xfb, 0xff, 0x00, 0x01 };
	char out[64];

	begin();
	put("", "artifact", 8);
	ck_assert_int_eq(
	    files_signature(path, NULL, out, sizeof(out)), -ENOENT);
	ck_assert_int_eq(
	    files_signature(path, "vault:v1:AAAA", out, sizeof(out)), 0);
	ck_assert_str_eq(out, "vault:v1:AAAA");
	/* The line end of an editor, or of cosign. */
	put(".sig", "QUJD\r\n", 6);
	ck_assert_int_eq(files_signature(path, NULL, out, sizeof(out)), 0);
	ck_assert_str_eq(out, "QUJD");
	/* openssl writes the bytes themselves. */
	put(".sig", bare, sizeof(bare));
	ck_assert_int_eq(files_signature(path, NULL, out, sizeof(out)), 0);
	ck_assert_str_eq(out, "+/8AAQ==");
	ck_assert_int_lt(files_signature(path, NULL, out, 8), 0);
	ck_assert_int_lt(files_signature(path, "0123456789", out, 8), 0);
	end();
}
END_TEST

START_TEST (base64_of_the_rfc) {
	/* RFC 4648, 10 */
	static const char *const rows[][2] = { { "", "" }, { "f", "Zg==" },
		{ "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" } };
	char out[16];
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		files_base64(rows[i][0], strlen(rows[i][0]), out);
		ck_assert_str_eq(out, rows[i][1]);
	}
}
END_TEST

START_TEST (a_file_is_replaced_in_one_step) {
	_cleanup_free_ char *text = NULL;
	struct stat before, after;
	char missing[160];
	size_t len;

	begin();
	put("", "old", 3);
	ck_assert_int_eq(stat(path, &before), 0);
	ck_assert_int_eq(files_replace(path, "newer", 5), 0);
	ck_assert_int_eq(files_read(path, 100, &text, &len), 0);
	ck_assert_str_eq(text, "newer");
	ck_assert_int_eq(stat(path, &after), 0);
	/* Who had it open still reads the old one. */
	ck_assert(before.st_ino != after.st_ino);
	(void)snprintf(missing, sizeof(missing), "%s/no/file", base);
	ck_assert_int_eq(files_replace(missing, "x", 1), -ENOENT);
	end();
}
END_TEST

UNIT_MAIN("files", a_file_is_read_whole_or_not_at_all,
    a_sealed_copy_cannot_change, keys_are_files_or_texts,
    signatures_are_files_or_texts, base64_of_the_rfc,
    a_file_is_replaced_in_one_step)
