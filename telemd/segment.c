/* SPDX-License-Identifier: ISC */
#include "telemd/segment.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/crc32c.h"
#include "common/limits.h"

static const char magic[SEGMENT_HEADER] = "aegis spool 1\n";

/* The largest file that is looked at; ours are a few MiB. */
#define SEGMENT_MAX (1u << 30)

static uint32_t
record_crc(const struct record *r)
{
	const char *after = (const char *)r + sizeof(r->crc);

	return crc32c(0, after, record_size(r) - sizeof(r->crc));
}

const struct record *
segment_check_record(const char *bytes, size_t len)
{
	const struct record *r = (const struct record *)(const void *)bytes;

	if (len < sizeof(*r) || r->len > RECORD_MAX_LEN ||
	    record_size(r) > len || r->type >= EVENT_TYPE_MAX ||
	    r->crc != record_crc(r))
		return NULL;
	return r;
}

static int
add_mark(struct segment *s, const struct mark *m)
{
	size_t cap = s->cap == 0 ? 64 : 2 * s->cap;
	struct mark *marks;

	if (s->count == s->cap) {
		marks = realloc(s->marks, cap * sizeof(*marks));
		if (marks == NULL)
			return -ENOMEM;
		s->marks = marks;
		s->cap = cap;
	}
	s->marks[s->count++] = *m;
	return 0;
}

/* All of it or nothing: a torn end would hide what is appended later. */
static int
write_fully(struct segment *s, const char *bytes, size_t len)
{
	size_t done = 0;
	ssize_t n;
	int r;

	while (done < len) {
		n = pwrite(
		    s->fd, bytes + done, len - done, (off_t)(s->size + done));
		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		if (n == -1 && errno == EINTR)
			continue;
		r = n == 0 ? -EIO : -errno;
		/* Should this fail too, the next append overwrites it. */
		if (ftruncate(s->fd, s->size) == -1)
			s->dirty = true;
		return r;
	}
	return 0;
}

int
segment_create(
    struct segment **out, int dir, const char *prefix, uint64_t first_seq)
{
	struct segment *s = calloc(1, sizeof(*s));
	int r;

	if (s == NULL)
		return -ENOMEM;
	(void)snprintf(s->name, sizeof(s->name), "%s-%016llx.log", prefix,
	    (unsigned long long)first_seq);
	s->fd = openat(dir, s->name,
	    O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	r = s->fd == -1 ? -errno : write_fully(s, magic, sizeof(magic));
	if (r < 0) {
		segment_free(s, s->fd != -1 ? dir : -1);
		return r;
	}
	s->size = sizeof(magic);
	s->dirty = true;
	*out = s;
	return 0;
}

/* Marks for the whole records among LEN bytes; returns where they end. */
static int
scan_records(struct segment *s, const char *bytes, size_t len, size_t *end)
{
	const struct record *r;
	struct mark m;
	size_t off = SEGMENT_HEADER;
	uint64_t last = 0;
	int rc;

	while ((r = segment_check_record(bytes + off, len - off)) != NULL) {
		/* Numbers only ever grow, and none gets so far. */
		if (r->seq <= last || r->seq > AEGIS_COUNT_MAX)
			break;
		last = r->seq;
		m = (struct mark){ .last_seq = r->seq,
			.start = (uint32_t)off,
			.count = 1,
			.type = r->type };
		rc = add_mark(s, &m);
		if (rc < 0)
			return rc;
		off += record_size(r);
	}
	*end = off;
	return 0;
}

static int
recover(struct segment *s, uint64_t *cut)
{
	struct stat st;
	size_t len, end;
	char *bytes;
	int r;

	if (fstat(s->fd, &st) == -1)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < SEGMENT_HEADER ||
	    st.st_size > SEGMENT_MAX)
		return -EBADMSG;
	len = (size_t)st.st_size;
	bytes = mmap(NULL, len, PROT_READ, MAP_PRIVATE, s->fd, 0);
	if (bytes == MAP_FAILED)
		return -errno;
	if (memcmp(bytes, magic, sizeof(magic)) != 0)
		r = -EBADMSG;
	else
		r = scan_records(s, bytes, len, &end);
	(void)munmap(bytes, len);
	if (r < 0)
		return r;
	s->size = (uint32_t)end;
	*cut = len - end;
	if (*cut > 0 && ftruncate(s->fd, (off_t)end) == -1)
		return -errno;
	return 0;
}

int
segment_recover(struct segment **out, int dir, const char *name, uint64_t *cut)
{
	struct segment *s = calloc(1, sizeof(*s));
	int r;

	if (s == NULL)
		return -ENOMEM;
	s->fd = -1;
	r = str_copy(s->name, sizeof(s->name), name);
	if (r == 0) {
		s->fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
		r = s->fd == -1 ? -errno : recover(s, cut);
	}
	if (r < 0) {
		segment_free(s, -1);
		return r;
	}
	*out = s;
	return 0;
}

int
segment_append(struct segment *s, char *records, size_t len, uint32_t count,
    enum event_type type, uint64_t last_seq)
{
	struct mark m = { .last_seq = last_seq,
		.start = s->size,
		.count = (uint16_t)count,
		.type = (uint8_t)type };
	struct record *r;
	size_t off;
	int rc;

	for (off = 0; off < len; off += record_size(r)) {
		r = (struct record *)(void *)(records + off);
		r->crc = record_crc(r);
	}
	rc = add_mark(s, &m);
	if (rc == 0) {
		rc = write_fully(s, records, len);
		if (rc < 0)
			s->count--;
	}
	if (rc < 0)
		return rc;
	s->size += (uint32_t)len;
	s->dirty = true;
	return 0;
}

uint64_t
segment_confirm(struct segment *s, uint64_t seq)
{
	uint64_t records = 0;

	while (
	    s->confirmed < s->count && s->marks[s->confirmed].last_seq <= seq)
		records += s->marks[s->confirmed++].count;
	return records;
}

void
segment_count(const struct segment *s, uint64_t *counts)
{
	size_t i;

	for (i = s->confirmed; i < s->count; i++)
		counts[s->marks[i].type] += s->marks[i].count;
}

uint32_t
segment_start(const struct segment *s)
{
	return s->confirmed < s->count ? s->marks[s->confirmed].start : s->size;
}

void
segment_free(struct segment *s, int dir)
{
	if (s == NULL)
		return;
	if (dir != -1)
		(void)unlinkat(dir, s->name, 0);
	fd_close(&s->fd);
	free(s->marks);
	free(s);
}
