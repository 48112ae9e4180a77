/* SPDX-License-Identifier: ISC */
#include "fetchd/cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/artlist.h"
#include "common/clock.h"
#include "common/fdio.h"
#include "common/log.h"
#include "common/memfd.h"
#include "common/strnum.h"
#include "fetchd/filetree.h"

#define SUFFIX     ".tar.zst"
#define HEX_LEN    (2 * AEGIS_SHA256_SIZE)
#define NAME_SIZE  (HEX_LEN + sizeof(SUFFIX))
#define TEMPORARY  "incoming.tmp"
#define LIST_FILE  "list.bin"
#define LIST_MAGIC "AEGLIST"

struct item {
	uint8_t sha256[AEGIS_SHA256_SIZE];
	uint64_t size;
	int64_t used_ns; /* wall clock, as the file's mtime */
};

struct cache {
	int dir;
	uint64_t max_bytes;
	uint64_t bytes;
	struct item *items;
	uint32_t count;
	uint32_t room;
	bool failing; /* said so already */
};

struct list_header {
	char magic[8];
	uint8_t source[AEGIS_SHA256_SIZE];
	uint8_t sha256[AEGIS_SHA256_SIZE]; /* of the records that follow */
	int64_t expires_wall_ns;
	uint64_t len; /* of the records */
};

static void
item_name(const uint8_t *sha256, char *name)
{
	strnum_format_hex(sha256, AEGIS_SHA256_SIZE, name);
	memcpy(name + HEX_LEN, SUFFIX, sizeof(SUFFIX));
}

static int
parse_name(const char *name, uint8_t *sha256)
{
	char hex[HEX_LEN + 1];

	if (strlen(name) != NAME_SIZE - 1 ||
	    strcmp(name + HEX_LEN, SUFFIX) != 0)
		return -EINVAL;
	memcpy(hex, name, HEX_LEN);
	hex[HEX_LEN] = '\0';
	return strnum_parse_hex(hex, sha256, AEGIS_SHA256_SIZE);
}

static struct item *
find(const struct cache *c, const uint8_t *sha256)
{
	uint32_t i;

	for (i = 0; i < c->count; i++)
		if (memcmp(c->items[i].sha256, sha256, AEGIS_SHA256_SIZE) == 0)
			return &c->items[i];
	return NULL;
}

static int
hash(const void *data, size_t len, uint8_t *out)
{
	return EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL) == 1 ? 0
									 : -EIO;
}

/* ---- keeping within bounds ---- */

static void
remove_item(struct cache *c, struct item *item)
{
	char name[NAME_SIZE];

	item_name(item->sha256, name);
	(void)unlinkat(c->dir, name, 0);
	c->bytes -= item->size;
	*item = c->items[--c->count];
}

/* Make the oldest go until NEED more bytes and one more file fit. */
static void
make_room(struct cache *c, uint64_t need)
{
	struct item *oldest;
	uint32_t i;

	while (c->count > 0 &&
	    (c->bytes + need > c->max_bytes || c->count >= CACHE_FILES_MAX)) {
		oldest = &c->items[0];
		for (i = 1; i < c->count; i++)
			if (c->items[i].used_ns < oldest->used_ns)
				oldest = &c->items[i];
		remove_item(c, oldest);
	}
}

static int
add_item(struct cache *c, const uint8_t *sha256, uint64_t size, int64_t used_ns)
{
	struct item *items;
	uint32_t room;

	if (c->count == c->room) {
		room = c->room == 0 ? 64 : 2 * c->room;
		items = reallocarray(c->items, room, sizeof(*items));
		if (items == NULL)
			return -ENOMEM;
		c->items = items;
		c->room = room;
	}
	memcpy(c->items[c->count].sha256, sha256, AEGIS_SHA256_SIZE);
	c->items[c->count].size = size;
	c->items[c->count].used_ns = used_ns;
	c->count++;
	c->bytes += size;
	return 0;
}

static int
take_stock_of(struct cache *c, const char *name)
{
	uint8_t sha256[AEGIS_SHA256_SIZE];
	struct stat st;

	if (strcmp(name, TEMPORARY) == 0) {
		(void)unlinkat(c->dir, name, 0);
		return 0;
	}
	if (parse_name(name, sha256) < 0)
		return 0; /* not ours: let it be */
	if (fstatat(c->dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return 0;
	if (!S_ISREG(st.st_mode) || st.st_size < 0 ||
	    (uint64_t)st.st_size > AEGIS_ARTIFACT_MAX) {
		(void)unlinkat(c->dir, name, 0);
		return 0;
	}
	return add_item(c, sha256, (uint64_t)st.st_size,
	    st.st_mtim.tv_sec * NSEC_PER_SEC + st.st_mtim.tv_nsec);
}

static int
take_stock(struct cache *c)
{
	struct dirent *entry;
	DIR *dir;
	int fd, r = 0;

	fd = openat(c->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return -errno;
	dir = fdopendir(fd);
	if (dir == NULL) {
		r = -errno;
		(void)close(fd);
		return r;
	}
	while (r == 0 && (entry = readdir(dir)) != NULL)
		r = take_stock_of(c, entry->d_name);
	(void)closedir(dir);
	make_room(c, 0);
	return r;
}

int
cache_open(struct cache **out, int dir, uint64_t max_bytes)
{
	struct cache *c = calloc(1, sizeof(*c));
	int r;

	*out = NULL;
	if (c == NULL) {
		(void)close(dir);
		return -ENOMEM;
	}
	c->dir = dir;
	c->max_bytes = max_bytes;
	r = take_stock(c);
	if (r < 0) {
		cache_free(c);
		return r;
	}
	*out = c;
	return 0;
}

void
cache_free(struct cache *c)
{
	if (c == NULL)
		return;
	fd_close(&c->dir);
	free(c->items);
	free(c);
}

uint64_t
cache_bytes(const struct cache *c)
{
	return c->bytes;
}

uint32_t
cache_count(const struct cache *c)
{
	return c->count;
}

/* ---- writing ---- */

static int
write_pieces(
    int fd, const void *head, size_t head_len, const void *data, size_t len)
{
	int r = fd_write_all(fd, head, head_len);

	if (r == 0)
		r = fd_write_all(fd, data, len);
	if (r < 0)
		return r;
	return fsync(fd) == -1 ? -errno : 0;
}

/* Whole or not at all: temporary file, fsync, rename, fsync of the place. */
static int
write_file(struct cache *c, const char *name, const void *head, size_t head_len,
    const void *data, size_t len)
{
	_cleanup_fd_ int fd = -1;
	int r;

	fd = openat(c->dir, TEMPORARY,
	    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd == -1)
		return -errno;
	r = write_pieces(fd, head, head_len, data, len);
	if (r == 0 && renameat(c->dir, TEMPORARY, c->dir, name) == -1)
		r = -errno;
	if (r == 0 && fsync(c->dir) == -1)
		r = -errno;
	if (r < 0)
		(void)unlinkat(c->dir, TEMPORARY, 0);
	return r;
}

/* Once, until it works again: a full disk fails at every poll. */
static void
note_write(struct cache *c, const char *what, int r)
{
	if (r < 0 && !c->failing)
		log_line(LOG_LEVEL_WARN, NULL, strerror(-r),
		    "cannot keep %s in the cache directory; going on "
		    "without the cache",
		    what);
	else if (r == 0 && c->failing)
		log_info("the cache directory can be written again");
	c->failing = r < 0;
}

/* Not the kernel's now, which stands still for milliseconds: by that two
 * files that are used one after the other may be equally old. */
static void
touch_item(struct cache *c, struct item *item)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
	char name[NAME_SIZE];

	item_name(item->sha256, name);
	item->used_ns = clock_wall_ns();
	times[1].tv_sec = item->used_ns / NSEC_PER_SEC;
	times[1].tv_nsec = item->used_ns % NSEC_PER_SEC;
	(void)utimensat(c->dir, name, times, AT_SYMLINK_NOFOLLOW);
}

void
cache_put(struct cache *c, const uint8_t *sha256, int fd, uint64_t size)
{
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	char name[NAME_SIZE];
	int r;

	if (size > c->max_bytes || find(c, sha256) != NULL)
		return;
	r = memfd_map(fd, AEGIS_ARTIFACT_MAX, &map);
	if (r == 0) {
		make_room(c, size);
		item_name(sha256, name);
		r = write_file(c, name, NULL, 0, map.data, map.len);
	}
	if (r == 0)
		r = add_item(c, sha256, map.len, 0);
	if (r == 0)
		touch_item(c, &c->items[c->count - 1]);
	note_write(c, "an artifact", r);
}

/* ---- reading ---- */

void
cache_touch(struct cache *c, const uint8_t *sha256)
{
	struct item *item = find(c, sha256);

	if (item != NULL)
		touch_item(c, item);
}

/* The file as a sealed memfd if it hashes to SHA256. */
static int
read_item(
    struct cache *c, const char *name, const uint8_t *sha256, uint64_t *size)
{
	_cleanup_fd_ int fd = -1, out = -1;
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	uint8_t got[AEGIS_SHA256_SIZE];
	int64_t n;
	int r;

	fd = openat(
	    c->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd == -1)
		return -errno;
	out = memfd_create_buffer("artifact");
	if (out < 0)
		return out;
	n = filetree_copy(fd, out, AEGIS_ARTIFACT_MAX);
	if (n < 0)
		return (int)n;
	r = memfd_seal(out);
	if (r == 0)
		r = memfd_map(out, AEGIS_ARTIFACT_MAX, &map);
	if (r == 0)
		r = hash(map.data, map.len, got);
	if (r < 0)
		return r;
	if (memcmp(got, sha256, sizeof(got)) != 0)
		return -EBADMSG;
	*size = (uint64_t)n;
	return fd_steal(&out);
}

int
cache_get(struct cache *c, const uint8_t *sha256, uint64_t *size)
{
	struct item *item = find(c, sha256);
	char name[NAME_SIZE];
	int fd;

	if (item == NULL)
		return -ENOENT;
	item_name(sha256, name);
	fd = read_item(c, name, sha256, size);
	if (fd >= 0) {
		touch_item(c, item);
		return fd;
	}
	if (fd == -EBADMSG || fd == -EFBIG || fd == -ELOOP)
		log_warn("cached artifact %s is damaged: dropped", name);
	if (fd != -ENOMEM && fd != -EMFILE && fd != -ENFILE) {
		remove_item(c, item);
		fd = -ENOENT;
	}
	return fd;
}

/* ---- the list ---- */

void
cache_save_list(struct cache *c, const uint8_t *source, const void *records,
    size_t len, int64_t expires_wall_ns)
{
	struct list_header h = {
		.magic = LIST_MAGIC,
		.expires_wall_ns = expires_wall_ns,
		.len = len,
	};
	int r;

	memcpy(h.source, source, sizeof(h.source));
	r = hash(records, len, h.sha256);
	if (r == 0)
		r = write_file(c, LIST_FILE, &h, sizeof(h), records, len);
	note_write(c, "the list", r);
}

static int
check_list(const char *data, size_t len, const uint8_t *source,
    struct list_header *h, struct artlist *list)
{
	uint8_t got[AEGIS_SHA256_SIZE];
	const char *what;

	if (len < sizeof(*h))
		return -EBADMSG;
	memcpy(h, data, sizeof(*h));
	if (memcmp(h->magic, LIST_MAGIC, sizeof(h->magic)) != 0 ||
	    h->len != len - sizeof(*h))
		return -EBADMSG;
	if (memcmp(h->source, source, sizeof(h->source)) != 0)
		return -ENOENT; /* another registry's, or another host's */
	if (hash(data + sizeof(*h), h->len, got) < 0 ||
	    memcmp(got, h->sha256, sizeof(got)) != 0)
		return -EBADMSG;
	return artlist_check(data + sizeof(*h), h->len, list, &what);
}

int
cache_load_list(struct cache *c, const uint8_t *source,
    int64_t *expires_wall_ns, uint32_t *entries)
{
	_cleanup_fd_ int fd = -1;
	_cleanup_free_ char *data = NULL;
	struct list_header h;
	struct artlist list;
	size_t len;
	int r;

	fd = openat(
	    c->dir, LIST_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd == -1)
		return -errno;
	r = filetree_read(fd, ARTLIST_MAX + sizeof(h), &data, &len);
	if (r == 0)
		r = check_list(data, len, source, &h, &list);
	if (r == -ENOENT)
		return r;
	if (r < 0) {
		log_warn("the cached list is damaged: dropped");
		(void)unlinkat(c->dir, LIST_FILE, 0);
		return -EBADMSG;
	}
	*expires_wall_ns = h.expires_wall_ns;
	*entries = list.header->entry_count;
	return memfd_from_bytes(
	    "artifact-list", data + sizeof(h), (size_t)h.len);
}
