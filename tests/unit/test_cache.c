/* SPDX-License-Identifier: ISC */
#include "fetchd/cache.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>

#include "common/artlist.h"
#include "common/memfd.h"
#include "common/strnum.h"
#include "unit.h"

static char dir[64];
static const uint8_t here[AEGIS_SHA256_SIZE] = { 1 };
static const uint8_t there[AEGIS_SHA256_SIZE] = { 2 };

static void
make_dir(void)
{
	(void)strcpy(dir, "/tmp/aegis-test-cache-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

/* A shell command inside the directory. */
static void
run(const char *command)
{
	char text[512];

	(void)snprintf(text, sizeof(text), "cd %s && %s", dir, command);
	ck_assert_int_eq(system(text), 0);
}

static void
remove_dir(void)
{
	run("rm -rf $PWD");
}

static struct cache *
open_cache(uint64_t max)
{
	struct cache *c;
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(cache_open(&c, fd, max), 0);
	return c;
}

/* An artifact of SIZE bytes of the letter, and its hash. */
static int
artifact(char letter, size_t size, uint8_t *sha256)
{
	char *data = malloc(size);
	int fd;

	ck_assert_ptr_nonnull(data);
	memset(data, letter, size);
	ck_assert_int_eq(
	    EVP_Digest(data, size, sha256, NULL, EVP_sha256(), NULL), 1);
	fd = memfd_from_bytes("test", data, size);
	ck_assert_int_ge(fd, 0);
	free(data);
	return fd;
}

static void
put(struct cache *c, char letter, size_t size, uint8_t *sha256)
{
	_cleanup_fd_ int fd = artifact(letter, size, sha256);

	cache_put(c, sha256, fd, size);
}

static bool
get(struct cache *c, const uint8_t *sha256, uint64_t want_size)
{
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	_cleanup_fd_ int fd = -1;
	uint64_t size = 0;

	fd = cache_get(c, sha256, &size);
	if (fd < 0) {
		ck_assert_int_eq(fd, -ENOENT);
		return false;
	}
	ck_assert_uint_eq(size, want_size);
	ck_assert_int_eq(memfd_map(fd, AEGIS_ARTIFACT_MAX, &map), 0);
	ck_assert_uint_eq(map.len, want_size);
	return true;
}

START_TEST (test_put_and_get) {
	uint8_t a[AEGIS_SHA256_SIZE];
	struct cache *c;
	struct stat st;
	char path[256], hex[65];

	make_dir();
	c = open_cache(1000);
	put(c, 'a', 100, a);
	ck_assert(get(c, a, 100));
	ck_assert(!get(c, here, 0));
	ck_assert_uint_eq(cache_bytes(c), 100);
	cache_free(c);
	/* It is still there for the next one, readable for nobody else. */
	c = open_cache(1000);
	ck_assert(get(c, a, 100));
	strnum_format_hex(a, sizeof(a), hex);
	(void)snprintf(path, sizeof(path), "%s/%s.tar.zst", dir, hex);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	cache_free(c);
	remove_dir();
}
END_TEST

START_TEST (test_bound_and_order) {
	uint8_t a[AEGIS_SHA256_SIZE], b[AEGIS_SHA256_SIZE],
	    d[AEGIS_SHA256_SIZE], e[AEGIS_SHA256_SIZE];
	struct cache *c;

	make_dir();
	c = open_cache(1000);
	put(c, 'a', 400, a);
	put(c, 'b', 400, b);
	/* Used now: so "b" is the one that was not used for longest. */
	ck_assert(get(c, a, 400));
	put(c, 'd', 400, d);
	ck_assert_uint_le(cache_bytes(c), 1000);
	ck_assert(get(c, a, 400));
	ck_assert(!get(c, b, 0));
	ck_assert(get(c, d, 400));
	/* Larger than all of it: not kept, and nothing goes for it. */
	put(c, 'e', 1001, e);
	ck_assert(!get(c, e, 0));
	ck_assert_uint_eq(cache_count(c), 2);
	cache_touch(c, a);
	cache_free(c);
	/* A smaller bound: the oldest go at the next start. */
	c = open_cache(500);
	ck_assert_uint_eq(cache_count(c), 1);
	ck_assert(get(c, a, 400));
	cache_free(c);
	c = open_cache(0);
	ck_assert_uint_eq(cache_count(c), 0);
	put(c, 'b', 4, b);
	ck_assert_uint_eq(cache_count(c), 0);
	cache_free(c);
	remove_dir();
}
END_TEST

START_TEST (test_damage) {
	uint8_t a[AEGIS_SHA256_SIZE];
	struct cache *c;

	make_dir();
	c = open_cache(1000);
	put(c, 'a', 100, a);
	run("for f in *.tar.zst; do printf x | dd of=$f conv=notrunc bs=1 "
	    "seek=50 status=none; done");
	ck_assert(!get(c, a, 0));
	ck_assert_uint_eq(cache_count(c), 0);
	/* And a good one can take its place. */
	put(c, 'a', 100, a);
	ck_assert(get(c, a, 100));
	/* Gone behind our back. */
	run("rm *.tar.zst");
	ck_assert(!get(c, a, 0));
	ck_assert_uint_eq(cache_bytes(c), 0);
	cache_free(c);
	remove_dir();
}
END_TEST

START_TEST (test_links_are_not_followed) {
	uint8_t a[AEGIS_SHA256_SIZE];
	struct cache *c;

	make_dir();
	c = open_cache(1000);
	put(c, 'a', 100, a);
	run("f=$(echo *.tar.zst); mv $f elsewhere; ln -s $PWD/elsewhere $f");
	ck_assert(!get(c, a, 0));
	cache_free(c);
	remove_dir();
}
END_TEST

START_TEST (test_leftovers) {
	struct cache *c;

	make_dir();
	run("echo half > incoming.tmp");
	run("echo mine > notes");
	run("mkdir "
	    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	    ".tar.zst");
	c = open_cache(1000);
	ck_assert_uint_eq(cache_count(c), 0);
	run("test ! -e incoming.tmp");
	run("test -e notes");
	cache_free(c);
	remove_dir();
}
END_TEST

static size_t
list_records(char *bytes, size_t size)
{
	struct artlist_header *h = (void *)bytes;
	struct artlist_entry *e = (void *)(h + 1);

	memset(bytes, 0, size);
	h->magic = ARTLIST_MAGIC;
	h->version = ARTLIST_VERSION;
	h->entry_count = 1;
	h->total_len = sizeof(*h) + sizeof(*e);
	ck_assert_uint_le(h->total_len, size);
	(void)strcpy(e->artifact_id, "a");
	(void)strcpy(e->name, "n");
	(void)strcpy(e->version, "1");
	e->ttl_sec = -1;
	return h->total_len;
}

static union {
	uint64_t align;
	char bytes[4096];
} records;

START_TEST (test_list) {
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	_cleanup_fd_ int fd = -1;
	struct cache *c;
	uint32_t entries;
	int64_t expires;
	size_t len = list_records(records.bytes, sizeof(records.bytes));

	make_dir();
	c = open_cache(0);
	ck_assert_int_eq(cache_load_list(c, here, &expires, &entries), -ENOENT);
	cache_save_list(c, here, records.bytes, len, 77);
	cache_free(c);
	c = open_cache(0);
	/* Another registry's list is no list of ours. */
	ck_assert_int_eq(
	    cache_load_list(c, there, &expires, &entries), -ENOENT);
	fd = cache_load_list(c, here, &expires, &entries);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(expires, 77);
	ck_assert_uint_eq(entries, 1);
	ck_assert_int_eq(memfd_map(fd, ARTLIST_MAX, &map), 0);
	ck_assert_uint_eq(map.len, len);
	ck_assert_mem_eq(map.data, records.bytes, len);
	cache_free(c);
	remove_dir();
}
END_TEST

START_TEST (test_list_damage) {
	static const char overwrite[] = "echo x | dd of=list.bin "
					"conv=notrunc bs=1 seek=200 "
					"status=none";
	static const char *const harm[] = { "truncate -s -1 list.bin",
		"truncate -s 10 list.bin", "echo >> list.bin", overwrite };
	size_t i, len = list_records(records.bytes, sizeof(records.bytes));
	uint32_t entries;
	int64_t expires;
	struct cache *c;

	make_dir();
	c = open_cache(0);
	for (i = 0; i < nitems(harm); i++) {
		cache_save_list(c, here, records.bytes, len, 0);
		run(harm[i]);
		ck_assert_int_eq(
		    cache_load_list(c, here, &expires, &entries), -EBADMSG);
		/* It is set aside, not complained about for ever. */
		ck_assert_int_eq(
		    cache_load_list(c, here, &expires, &entries), -ENOENT);
	}
	cache_free(c);
	remove_dir();
}
END_TEST

UNIT_MAIN("cache", test_put_and_get, test_bound_and_order, test_damage,
    test_links_are_not_followed, test_leftovers, test_list, test_list_damage)
