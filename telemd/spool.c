/* SPDX-License-Identifier: ISC */
#include "telemd/spool.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#define SEGMENT_BYTES_MAX (4u << 20)
#define SEGMENT_BYTES_MIN (64u << 10)

/* Each is an open file: those of a large spool are larger, so that there are
 * no more than some hundreds (of the largest spool, two thousand). */
#define SEGMENTS_MANY       256
#define SEGMENT_BYTES_LARGE (512u << 20)

static const char *const prefixes[SPOOL_STREAMS] = {
	[SPOOL_EVENTS] = "event",
	[SPOOL_VIOLATIONS] = "violation",
};

void
spool_init(struct spool *sp)
{
	int i;

	memset(sp, 0, sizeof(*sp));
	sp->dir = -1;
	(void)pthread_mutex_init(&sp->mu, NULL);
	for (i = 0; i < SPOOL_STREAMS; i++)
		TAILQ_INIT(&sp->streams[i].segments);
}

static void
add_segment(struct spool *sp, enum spool_stream stream, struct segment *s)
{
	TAILQ_INSERT_TAIL(&sp->streams[stream].segments, s, entry);
	(void)__atomic_add_fetch(&sp->bytes, s->size, __ATOMIC_RELAXED);
}

/* Take a segment away with its file. */
static void
remove_segment(struct spool *sp, enum spool_stream stream, struct segment *s)
{
	if (sp->streams[stream].reading == s)
		sp->streams[stream].reading = NULL;
	TAILQ_REMOVE(&sp->streams[stream].segments, s, entry);
	(void)__atomic_sub_fetch(&sp->bytes, s->size, __ATOMIC_RELAXED);
	segment_free(s, sp->dir);
}

/* "event-0123456789abcdef.log": the stream it belongs to, or -1. */
static int
name_stream(const char *name)
{
	size_t len;
	int i;

	for (i = 0; i < SPOOL_STREAMS; i++) {
		len = strlen(prefixes[i]);
		if (strncmp(name, prefixes[i], len) == 0 && name[len] == '-' &&
		    strlen(name) == len + 21 &&
		    strspn(name + len + 1, "0123456789abcdef") == 16 &&
		    strcmp(name + len + 17, ".log") == 0)
			return i;
	}
	return -1;
}

/* It says something about us, not about the file. */
static bool
is_shortage(int r)
{
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM;
}

static int
recover_segment(struct spool *sp, const char *name, uint64_t confirmed)
{
	int stream = name_stream(name);
	struct segment *s;
	uint64_t cut = 0, counts[EVENT_TYPE_MAX] = { 0 };
	char aside[64];
	size_t i;
	int r;

	r = segment_recover(&s, sp->dir, name, &cut);
	if (is_shortage(r))
		return r;
	if (r < 0) {
		/* Set aside for whoever wants to look, and never again. */
		(void)snprintf(aside, sizeof(aside), "%.40s.bad", name);
		(void)renameat(sp->dir, name, sp->dir, aside);
		sp->bad_files++;
		return 0;
	}
	sp->torn_bytes += cut;
	if (s->count > 0 && s->marks[s->count - 1].last_seq > sp->last_seq)
		sp->last_seq = s->marks[s->count - 1].last_seq;
	(void)segment_confirm(s, confirmed);
	if (segment_is_done(s)) {
		segment_free(s, sp->dir);
		return 0;
	}
	segment_count(s, counts);
	for (i = 0; i < EVENT_TYPE_MAX; i++)
		(void)__atomic_add_fetch(
		    &sp->records, counts[i], __ATOMIC_RELAXED);
	add_segment(sp, (enum spool_stream)stream, s);
	return 0;
}

static uint32_t
choose_segment_bytes(uint64_t max_bytes)
{
	uint64_t bytes = max_bytes / SEGMENTS_MANY;

	if (bytes > SEGMENT_BYTES_LARGE)
		return SEGMENT_BYTES_LARGE;
	if (bytes > SEGMENT_BYTES_MAX)
		return (uint32_t)bytes;
	bytes = max_bytes / 16;
	if (bytes > SEGMENT_BYTES_MAX)
		return SEGMENT_BYTES_MAX;
	return bytes > SEGMENT_BYTES_MIN ? (uint32_t)bytes : SEGMENT_BYTES_MIN;
}

static int
segment_filter(const struct dirent *d)
{
	return name_stream(d->d_name) >= 0;
}

int
spool_open(struct spool *sp, int dir, uint64_t max_bytes, uint64_t confirmed)
{
	struct dirent **names;
	int i, n, r = 0;

	/* Our own, whatever agentd opened it for. */
	sp->dir = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (sp->dir == -1)
		return -errno;
	sp->max_bytes = max_bytes;
	sp->segment_bytes = choose_segment_bytes(max_bytes);
	/* Names sort as their numbers do. */
	n = scandirat(sp->dir, ".", &names, segment_filter, alphasort);
	if (n == -1)
		return -errno;
	for (i = 0; i < n; i++) {
		if (r == 0)
			r = recover_segment(sp, names[i]->d_name, confirmed);
		free(names[i]);
	}
	free(names);
	return r;
}

void
spool_close(struct spool *sp)
{
	struct segment *s;
	int i;

	for (i = 0; i < SPOOL_STREAMS; i++) {
		while ((s = TAILQ_FIRST(&sp->streams[i].segments)) != NULL) {
			TAILQ_REMOVE(&sp->streams[i].segments, s, entry);
			segment_free(s, -1);
		}
	}
	fd_close(&sp->dir);
	(void)pthread_mutex_destroy(&sp->mu);
}

/* Drop the oldest segment of a stream; false when it has none to give. */
static bool
drop_oldest(struct spool *sp, enum spool_stream stream, uint64_t *dropped)
{
	struct segment *s = TAILQ_FIRST(&sp->streams[stream].segments);
	uint64_t counts[EVENT_TYPE_MAX] = { 0 };
	int i;

	if (s == NULL)
		return false;
	segment_count(s, counts);
	for (i = 0; i < EVENT_TYPE_MAX; i++) {
		dropped[i] += counts[i];
		(void)__atomic_sub_fetch(
		    &sp->records, counts[i], __ATOMIC_RELAXED);
	}
	remove_segment(sp, stream, s);
	return true;
}

static bool
make_room(struct spool *sp, const struct batch *b, uint64_t *dropped)
{
	while (sp->bytes + b->buf.len + SEGMENT_HEADER > sp->max_bytes) {
		if (drop_oldest(sp, SPOOL_VIOLATIONS, dropped))
			continue;
		if (b->class == EVENT_VIOLATION ||
		    !drop_oldest(sp, SPOOL_EVENTS, dropped))
			return false;
	}
	return true;
}

static int
append_locked(struct spool *sp, struct batch *b, uint64_t *dropped)
{
	enum spool_stream stream =
	    b->class == EVENT_VIOLATION ? SPOOL_VIOLATIONS : SPOOL_EVENTS;
	const struct record *first = (const void *)b->buf.data;
	struct segment *s;
	int r;

	if (!make_room(sp, b, dropped))
		return -EDQUOT;
	s = TAILQ_LAST(&sp->streams[stream].segments, segment_list);
	if (s == NULL || s->size + b->buf.len > sp->segment_bytes) {
		r = segment_create(&s, sp->dir, prefixes[stream], b->first_seq);
		if (r < 0)
			return r;
		add_segment(sp, stream, s);
		/* The name must survive as well as the content. */
		if (stream == SPOOL_EVENTS && fsync(sp->dir) == -1)
			return -errno;
	}
	r = segment_append(s, b->buf.data, b->buf.len, b->count,
	    (enum event_type)first->type, b->last_seq);
	if (r < 0)
		return r;
	(void)__atomic_add_fetch(&sp->bytes, b->buf.len, __ATOMIC_RELAXED);
	(void)__atomic_add_fetch(&sp->records, b->count, __ATOMIC_RELAXED);
	return 0;
}

int
spool_append(struct spool *sp, struct batch *b, uint64_t *dropped)
{
	int r;

	if (sp->dir == -1)
		return -ENODEV;
	(void)pthread_mutex_lock(&sp->mu);
	r = append_locked(sp, b, dropped);
	(void)pthread_mutex_unlock(&sp->mu);
	return r;
}

int
spool_sync(struct spool *sp)
{
	struct segment *s;
	int fds[8];
	size_t i, n = 0;
	int r = 0;

	if (sp->dir == -1)
		return -ENODEV;
	/* Not under the lock: the publisher need not wait for the disk.  A
	 * group rarely touches more than two segments. */
	(void)pthread_mutex_lock(&sp->mu);
	TAILQ_FOREACH (s, &sp->streams[SPOOL_EVENTS].segments, entry) {
		if (!s->dirty)
			continue;
		if (n == nitems(fds)) {
			if (fdatasync(s->fd) == -1)
				r = -errno;
		} else {
			fds[n] = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
			if (fds[n] == -1)
				r = -errno;
			else
				n++;
		}
		s->dirty = false;
	}
	(void)pthread_mutex_unlock(&sp->mu);
	for (i = 0; i < n; i++) {
		if (fdatasync(fds[i]) == -1)
			r = -errno;
		fd_close(&fds[i]);
	}
	return r;
}

/* The segment and offset where reading goes on; NULL at the end. */
static struct segment *
next_to_read(struct spool *sp, enum spool_stream stream, uint32_t *off)
{
	struct segment *s = sp->streams[stream].reading;

	if (s == NULL) {
		s = TAILQ_FIRST(&sp->streams[stream].segments);
		sp->streams[stream].offset = s != NULL ? segment_start(s) : 0;
	}
	while (s != NULL && sp->streams[stream].offset >= s->size &&
	    TAILQ_NEXT(s, entry) != NULL) {
		s = TAILQ_NEXT(s, entry);
		sp->streams[stream].offset = segment_start(s);
	}
	sp->streams[stream].reading = s;
	*off = sp->streams[stream].offset;
	return s != NULL && *off < s->size ? s : NULL;
}

/* How many of LEN bytes are whole, sound records. */
static size_t
whole_records(const char *buf, size_t len)
{
	const struct record *r;
	size_t off = 0;

	while ((r = segment_check_record(buf + off, len - off)) != NULL)
		off += record_size(r);
	return off;
}

size_t
spool_read(struct spool *sp, enum spool_stream stream, char *buf, size_t size,
    uint64_t *dropped)
{
	struct segment *s;
	uint32_t off;
	size_t want, got = 0;
	ssize_t n;

	if (sp->dir == -1)
		return 0;
	(void)pthread_mutex_lock(&sp->mu);
	while (got == 0 && (s = next_to_read(sp, stream, &off)) != NULL) {
		want = s->size - off < size ? s->size - off : size;
		n = pread(s->fd, buf, want, off);
		got = n > 0 ? whole_records(buf, (size_t)n) : 0;
		if (got > 0) {
			sp->streams[stream].offset = off + (uint32_t)got;
			break;
		}
		/*
		 * What was sound when it was written is not so any more.
		 * The rest of this segment is lost; the others are not.
		 */
		dropped[stream == SPOOL_EVENTS ? EVENT_PROGRAM_ERROR
					       : EVENT_VIOLATION_REPORT]++;
		sp->streams[stream].offset = s->size;
		if (TAILQ_NEXT(s, entry) == NULL)
			break;
	}
	(void)pthread_mutex_unlock(&sp->mu);
	return got;
}

void
spool_rewind(struct spool *sp)
{
	int i;

	(void)pthread_mutex_lock(&sp->mu);
	for (i = 0; i < SPOOL_STREAMS; i++)
		sp->streams[i].reading = NULL;
	(void)pthread_mutex_unlock(&sp->mu);
}

void
spool_confirm(struct spool *sp, uint64_t seq)
{
	struct segment *s;
	int i;

	if (sp->dir == -1)
		return;
	(void)pthread_mutex_lock(&sp->mu);
	for (i = 0; i < SPOOL_STREAMS; i++) {
		while ((s = TAILQ_FIRST(&sp->streams[i].segments)) != NULL) {
			(void)__atomic_sub_fetch(&sp->records,
			    segment_confirm(s, seq), __ATOMIC_RELAXED);
			if (!segment_is_done(s))
				break;
			/* The last one is emptied by time, not by removal:
			 * else each event would make a new file. */
			if (TAILQ_NEXT(s, entry) == NULL &&
			    s->size < sp->segment_bytes / 2)
				break;
			remove_segment(sp, (enum spool_stream)i, s);
		}
	}
	(void)pthread_mutex_unlock(&sp->mu);
}

bool
spool_is_empty(struct spool *sp, enum spool_stream stream)
{
	struct segment *s;
	bool empty = true;

	(void)pthread_mutex_lock(&sp->mu);
	TAILQ_FOREACH (s, &sp->streams[stream].segments, entry)
		empty &= segment_is_done(s);
	(void)pthread_mutex_unlock(&sp->mu);
	return empty;
}

void
spool_usage(struct spool *sp, uint64_t *bytes, uint64_t *records)
{
	/* Without the lock: the main thread asks, who holds it may be writing
	 * to a disk that stalls. */
	*bytes = __atomic_load_n(&sp->bytes, __ATOMIC_RELAXED);
	*records = __atomic_load_n(&sp->records, __ATOMIC_RELAXED);
}

int
spool_each_event(
    struct spool *sp, void (*fn)(const struct record *r, void *ctx), void *ctx)
{
	_cleanup_free_ char *buf = malloc(SPOOL_READ_SIZE);
	uint64_t lost[EVENT_TYPE_MAX] = { 0 };
	const struct record *r;
	size_t len, off;

	if (buf == NULL)
		return -ENOMEM;
	while ((len = spool_read(
		    sp, SPOOL_EVENTS, buf, SPOOL_READ_SIZE, lost)) > 0) {
		for (off = 0; off < len; off += record_size(r)) {
			r = (const void *)(buf + off);
			fn(r, ctx);
		}
	}
	spool_rewind(sp);
	return 0;
}
