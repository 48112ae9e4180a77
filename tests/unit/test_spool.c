/* SPDX-License-Identifier: ISC */
/* The spool on a real file system: order, bounds, torn ends, rot. */
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>

#include "telemd/seqstate.h"
#include "telemd/spool.h"

#define MAX_BYTES (8u << 20)

static char path[64];
static uint64_t dropped[EVENT_TYPE_MAX];

static int
new_directory(void)
{
	(void)snprintf(path, sizeof(path), "/tmp/test_spool.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(path));
	memset(dropped, 0, sizeof(dropped));
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void
remove_directory(int dir)
{
	DIR *d = opendir(path);
	struct dirent *e;

	while ((e = readdir(d)) != NULL)
		(void)unlinkat(dir, e->d_name, 0);
	(void)closedir(d);
	ck_assert_int_eq(rmdir(path), 0);
	fd_close(&dir);
}

static struct batch *
make(enum event_type type, uint64_t first, unsigned int count, size_t size)
{
	struct batch *b = batch_new(event_class(type));
	uint8_t id[16] = { 0 };
	unsigned int i;
	size_t start;

	for (i = 0; i < count; i++) {
		start = batch_begin(b);
		jsonbuf_lit(&b->buf, "{\"seq\":");
		jsonbuf_u64(&b->buf, first + i);
		while (b->buf.len < start + sizeof(struct record) + size - 1)
			jsonbuf_lit(&b->buf, " ");
		jsonbuf_lit(&b->buf, "}");
		id[15] = (uint8_t)(first + i);
		ck_assert(batch_end(b, start, type, first + i, id));
	}
	return b;
}

static int
append(struct spool *sp, enum event_type type, uint64_t first,
    unsigned int count, size_t size)
{
	struct batch *b = make(type, first, count, size);
	int r = spool_append(sp, b, dropped);

	batch_free(b);
	return r;
}

static void
open_spool(struct spool *sp, int dir, uint64_t max, uint64_t confirmed)
{
	spool_init(sp);
	ck_assert_int_eq(spool_open(sp, dir, max, confirmed), 0);
}

/* Read a stream to its end: the numbers of its records. */
static size_t
read_all(struct spool *sp, enum spool_stream stream, uint64_t *seqs, size_t max)
{
	_cleanup_free_ char *buf = malloc(SPOOL_READ_SIZE);
	const struct record *r;
	size_t len, off, n = 0;
	char want[64];

	while (
	    (len = spool_read(sp, stream, buf, SPOOL_READ_SIZE, dropped)) > 0) {
		for (off = 0; off < len; off += record_size(r)) {
			r = (const void *)(buf + off);
			(void)snprintf(want, sizeof(want), "{\"seq\":%llu",
			    (unsigned long long)r->seq);
			ck_assert_mem_eq(r->json, want, strlen(want));
			ck_assert_uint_lt(n, max);
			seqs[n++] = r->seq;
		}
	}
	return n;
}

static uint64_t seqs[100000];

START_TEST (test_order_confirm_and_reopen) {
	int dir = new_directory();
	struct spool sp;
	uint64_t bytes, records;
	size_t n, i;

	open_spool(&sp, dir, MAX_BYTES, 0);
	for (i = 1; i <= 100; i++)
		ck_assert_int_eq(
		    append(&sp, EVENT_PROGRAM_LOADED, i, 1, 300), 0);
	ck_assert_int_eq(append(&sp, EVENT_VIOLATION_REPORT, 101, 50, 300), 0);
	ck_assert_int_eq(spool_sync(&sp), 0);
	spool_usage(&sp, &bytes, &records);
	ck_assert_uint_eq(records, 150);
	n = read_all(&sp, SPOOL_EVENTS, seqs, nitems(seqs));
	ck_assert_uint_eq(n, 100);
	for (i = 0; i < n; i++)
		ck_assert_uint_eq(seqs[i], i + 1);
	ck_assert_uint_eq(
	    read_all(&sp, SPOOL_VIOLATIONS, seqs, nitems(seqs)), 50);
	/* at the end; new ones are read as they come */
	ck_assert_uint_eq(read_all(&sp, SPOOL_EVENTS, seqs, 10), 0);
	ck_assert_int_eq(append(&sp, EVENT_PROGRAM_ERROR, 151, 1, 9), 0);
	ck_assert_uint_eq(read_all(&sp, SPOOL_EVENTS, seqs, 10), 1);
	spool_confirm(&sp, 40);
	spool_usage(&sp, &bytes, &records);
	ck_assert_uint_eq(records, 111);
	spool_rewind(&sp);
	n = read_all(&sp, SPOOL_EVENTS, seqs, nitems(seqs));
	ck_assert_uint_eq(n, 61);
	ck_assert_uint_eq(seqs[0], 41);
	spool_close(&sp);
	/* another telemd: only what was confirmed is done with */
	open_spool(&sp, dir, MAX_BYTES, 99);
	ck_assert_uint_eq(sp.last_seq, 151);
	ck_assert_uint_eq(sp.torn_bytes, 0);
	n = read_all(&sp, SPOOL_EVENTS, seqs, nitems(seqs));
	ck_assert_uint_eq(n, 2);
	ck_assert_uint_eq(seqs[0], 100);
	ck_assert_uint_eq(seqs[1], 151);
	ck_assert(!spool_is_empty(&sp, SPOOL_VIOLATIONS));
	spool_confirm(&sp, 151);
	ck_assert(spool_is_empty(&sp, SPOOL_VIOLATIONS));
	spool_usage(&sp, &bytes, &records);
	ck_assert_uint_eq(records, 0);
	spool_close(&sp);
	remove_directory(dir);
}
END_TEST

/* The one segment of the event stream. */
static int
open_segment(int dir)
{
	DIR *d = opendir(path);
	struct dirent *e;
	int fd = -1;

	while ((e = readdir(d)) != NULL)
		if (strncmp(e->d_name, "event-", 6) == 0)
			fd = openat(dir, e->d_name, O_RDWR | O_CLOEXEC);
	(void)closedir(d);
	ck_assert_int_ne(fd, -1);
	return fd;
}

/* Power fails in the middle of a write, at every byte of it. */
START_TEST (test_torn_tail) {
	int dir = new_directory(), fd;
	struct spool sp;
	struct stat st;
	off_t whole, len;

	open_spool(&sp, dir, MAX_BYTES, 0);
	ck_assert_int_eq(append(&sp, EVENT_PROGRAM_LOADED, 1, 1, 50), 0);
	ck_assert_int_eq(append(&sp, EVENT_PROGRAM_LOADED, 2, 1, 50), 0);
	spool_close(&sp);
	fd = open_segment(dir);
	ck_assert_int_eq(fstat(fd, &st), 0);
	whole = st.st_size;
	for (len = whole - 1; len > whole - 97; len--) {
		ck_assert_int_eq(ftruncate(fd, len), 0);
		open_spool(&sp, dir, MAX_BYTES, 0);
		ck_assert_uint_eq(read_all(&sp, SPOOL_EVENTS, seqs, 10), 1);
		ck_assert_uint_eq(sp.last_seq, 1);
		/* what is appended after the cut is found again */
		ck_assert_int_eq(
		    append(&sp, EVENT_PROGRAM_LOADED, 2, 1, 50), 0);
		spool_close(&sp);
		open_spool(&sp, dir, MAX_BYTES, 0);
		ck_assert_uint_eq(sp.torn_bytes, 0);
		ck_assert_uint_eq(read_all(&sp, SPOOL_EVENTS, seqs, 10), 2);
		spool_close(&sp);
	}
	fd_close(&fd);
	remove_directory(dir);
}
END_TEST

/* Any flipped bit: never a crash, never a wrong record. */
START_TEST (test_rot) {
	int dir = new_directory(), fd;
	struct spool sp;
	unsigned char byte;
	off_t at;

	for (at = SEGMENT_HEADER; at < SEGMENT_HEADER + 2 * 104; at++) {
		open_spool(&sp, dir, MAX_BYTES, 0);
		ck_assert_int_eq(
		    append(&sp, EVENT_PROGRAM_LOADED, 1, 1, 60), 0);
		ck_assert_int_eq(
		    append(&sp, EVENT_PROGRAM_LOADED, 2, 1, 60), 0);
		fd = open_segment(dir);
		ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
		byte ^= 0x40;
		ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
		/* read by somebody who knew it sound, and by a new one */
		ck_assert_uint_le(read_all(&sp, SPOOL_EVENTS, seqs, 10), 1);
		spool_close(&sp);
		open_spool(&sp, dir, MAX_BYTES, 0);
		ck_assert_uint_le(read_all(&sp, SPOOL_EVENTS, seqs, 10), 1);
		ck_assert_uint_gt(sp.torn_bytes, 0);
		spool_confirm(&sp, 2);
		spool_close(&sp);
		fd_close(&fd);
		/* whatever was left is done with: nothing stays */
		open_spool(&sp, dir, MAX_BYTES, 2);
		ck_assert(spool_is_empty(&sp, SPOOL_EVENTS));
		spool_close(&sp);
	}
	remove_directory(dir);
}
END_TEST

/* A segment without its head, and files that are none of ours. */
START_TEST (test_strange_files) {
	int dir = new_directory(), fd;
	struct spool sp;

	fd = openat(dir, "event-00000000000000ff.log", O_CREAT | O_RDWR, 0600);
	ck_assert_int_eq(write(fd, "rubbish rubbish rubbish", 23), 23);
	fd_close(&fd);
	fd = openat(dir, "event-xyz.log", O_CREAT | O_RDWR, 0600);
	fd_close(&fd);
	ck_assert_int_eq(
	    symlinkat("/etc/passwd", dir, "event-0000000000000001.log"), 0);
	open_spool(&sp, dir, MAX_BYTES, 0);
	ck_assert_uint_eq(sp.bad_files, 2);
	ck_assert_int_eq(append(&sp, EVENT_PROGRAM_LOADED, 1, 1, 60), 0);
	ck_assert_uint_eq(read_all(&sp, SPOOL_EVENTS, seqs, 10), 1);
	spool_close(&sp);
	ck_assert_int_eq(
	    faccessat(dir, "event-00000000000000ff.log.bad", F_OK, 0), 0);
	remove_directory(dir);
}
END_TEST

/* Too few descriptors for now say nothing against a file. */
START_TEST (test_shortage) {
	int dir = new_directory(), next;
	struct rlimit few, enough;
	struct spool sp;
	uint64_t i;

	open_spool(&sp, dir, 1 << 20, 0);
	for (i = 1; i <= 500; i++) /* three segments of 64 KiB */
		ck_assert_int_eq(
		    append(&sp, EVENT_PROGRAM_LOADED, i, 1, 300), 0);
	spool_close(&sp);
	next = dup(dir);
	(void)close(next);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &enough), 0);
	few = enough;
	few.rlim_cur = (rlim_t)next + 2; /* the directory, and one segment */
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	spool_init(&sp);
	ck_assert_int_eq(spool_open(&sp, dir, 1 << 20, 0), -EMFILE);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &enough), 0);
	ck_assert_uint_eq(sp.bad_files, 0);
	spool_close(&sp);
	open_spool(&sp, dir, 1 << 20, 0);
	ck_assert_uint_eq(read_all(&sp, SPOOL_EVENTS, seqs, 1000), 500);
	spool_close(&sp);
	remove_directory(dir);
}
END_TEST

/* Every size that may be configured makes do with the files one may open. */
START_TEST (test_segment_sizes) {
	int dir = new_directory();
	struct spool sp;
	uint64_t mb;

	for (mb = 1; mb <= 1 << 20; mb *= 2) {
		open_spool(&sp, dir, mb << 20, 0);
		ck_assert_uint_le(sp.max_bytes / sp.segment_bytes, 2048);
		ck_assert_uint_ge(sp.max_bytes / sp.segment_bytes, 16);
		spool_close(&sp);
	}
	open_spool(&sp, dir, 64 << 20, 0);
	ck_assert_uint_eq(sp.segment_bytes, 4 << 20);
	spool_close(&sp);
	remove_directory(dir);
}
END_TEST

/* The bound: violations go first, the oldest; life cycle events last. */
START_TEST (test_bound) {
	int dir = new_directory();
	uint64_t seq = 1, bytes, records, i, violations = 0;
	struct spool sp;
	size_t n;

	open_spool(&sp, dir, 1 << 20, 0);
	for (i = 0; i < 20; i++, seq++)
		ck_assert_int_eq(
		    append(&sp, EVENT_PROGRAM_LOADED, seq, 1, 400), 0);
	for (i = 0; i < 100; i++, seq += 100, violations += 100)
		ck_assert_int_eq(
		    append(&sp, EVENT_VIOLATION_REPORT, seq, 100, 400), 0);
	spool_usage(&sp, &bytes, &records);
	ck_assert_uint_le(bytes, 1 << 20);
	ck_assert_uint_eq(dropped[EVENT_PROGRAM_LOADED], 0);
	ck_assert_uint_gt(dropped[EVENT_VIOLATION_REPORT], 5000);
	n = read_all(&sp, SPOOL_VIOLATIONS, seqs, nitems(seqs));
	ck_assert_uint_eq(n + dropped[EVENT_VIOLATION_REPORT], violations);
	ck_assert_uint_eq(seqs[n - 1], seq - 1);
	ck_assert_uint_eq(records, n + 20);
	/* life cycle events push all violations out ... */
	for (i = 0; i < 2300; i++, seq++)
		ck_assert_int_eq(
		    append(&sp, EVENT_PROGRAM_ERROR, seq, 1, 400), 0);
	ck_assert_uint_eq(dropped[EVENT_VIOLATION_REPORT], violations);
	ck_assert_uint_eq(dropped[EVENT_PROGRAM_ERROR], 0);
	/* ... which then have no place beside them ... */
	ck_assert_int_eq(
	    append(&sp, EVENT_VIOLATION_REPORT, seq, 100, 400), -EDQUOT);
	/* ... and in the end their own oldest. */
	for (i = 0; i < 1000; i++, seq++)
		ck_assert_int_eq(
		    append(&sp, EVENT_PROGRAM_ERROR, seq, 1, 400), 0);
	ck_assert_uint_eq(dropped[EVENT_PROGRAM_LOADED], 20);
	spool_usage(&sp, &bytes, &records);
	n = read_all(&sp, SPOOL_EVENTS, seqs, nitems(seqs));
	ck_assert_uint_eq(n, records);
	ck_assert_uint_eq(n + dropped[EVENT_PROGRAM_ERROR], 3300);
	spool_close(&sp);
	remove_directory(dir);
}
END_TEST

/* No byte more fits: what was there stays readable, and room helps. */
START_TEST (test_disk_full) {
	int dir = new_directory();
	struct rlimit rl, none;
	struct spool sp;
	uint64_t i;

	(void)signal(SIGXFSZ, SIG_IGN);
	open_spool(&sp, dir, MAX_BYTES, 0);
	for (i = 1; i <= 10; i++)
		ck_assert_int_eq(
		    append(&sp, EVENT_PROGRAM_LOADED, i, 1, 300), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &none), 0);
	rl = none;
	rl.rlim_cur = 3600; /* in the middle of the next record */
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &rl), 0);
	ck_assert_int_eq(append(&sp, EVENT_PROGRAM_LOADED, 11, 1, 300), -EFBIG);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
	ck_assert_int_eq(append(&sp, EVENT_PROGRAM_LOADED, 12, 1, 300), 0);
	ck_assert_uint_eq(read_all(&sp, SPOOL_EVENTS, seqs, 20), 11);
	ck_assert_uint_eq(seqs[10], 12);
	spool_close(&sp);
	open_spool(&sp, dir, MAX_BYTES, 0);
	ck_assert_uint_eq(sp.torn_bytes, 0);
	ck_assert_uint_eq(read_all(&sp, SPOOL_EVENTS, seqs, 20), 11);
	spool_close(&sp);
	remove_directory(dir);
}
END_TEST

START_TEST (test_none) {
	struct spool sp;

	spool_init(&sp);
	ck_assert_int_eq(append(&sp, EVENT_PROGRAM_LOADED, 1, 1, 9), -ENODEV);
	ck_assert_int_eq(spool_sync(&sp), -ENODEV);
	ck_assert_uint_eq(read_all(&sp, SPOOL_EVENTS, seqs, 1), 0);
	spool_confirm(&sp, 5);
	spool_close(&sp);
}
END_TEST

START_TEST (test_sequence_record) {
	int dir = new_directory(), fd;
	struct seqstate st;
	bool found = true;

	seqstate_init(&st);
	ck_assert_int_eq(seqstate_open(&st, dir, &found), 0);
	ck_assert(!found);
	ck_assert_int_eq(seqstate_store(&st, 100, 90, NULL), 0);
	ck_assert_int_eq(seqstate_store(&st, 0, 95, NULL), 0);
	seqstate_close(&st, false);
	seqstate_init(&st);
	ck_assert_int_eq(seqstate_open(&st, dir, &found), 0);
	ck_assert(found);
	ck_assert_uint_eq(st.r.next_seq, 100);
	ck_assert_uint_eq(st.r.confirmed, 95);
	ck_assert_uint_eq(st.r.clean, 0);
	seqstate_close(&st, true);
	seqstate_init(&st);
	ck_assert_int_eq(seqstate_open(&st, dir, &found), 0);
	ck_assert(found);
	ck_assert_uint_eq(st.r.clean, 1);
	seqstate_close(&st, false);
	/* damaged: as if there were none */
	fd = openat(dir, "sequence", O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(pwrite(fd, "\x55", 1, 40), 1);
	fd_close(&fd);
	seqstate_init(&st);
	ck_assert_int_eq(seqstate_open(&st, dir, &found), 0);
	ck_assert(!found);
	seqstate_close(&st, false);
	remove_directory(dir);
}
END_TEST

/* Numbers that no honest telemd has written hold nobody up. */
START_TEST (test_numbers_of_a_telemd_taken_over) {
	uint64_t dropped_most[EVENT_TYPE_MAX] = { AEGIS_COUNT_MAX };
	static const uint8_t boot[16] = { 1 };
	int dir = new_directory();
	struct seqstate st;
	struct spool sp;
	bool found;
	size_t i;
	const struct {
		uint64_t next_seq, confirmed;
		const uint64_t *dropped;
	} bad[] = {
		{ UINT64_MAX, 0, NULL },
		{ AEGIS_COUNT_MAX + 1, 0, NULL },
		{ 100, 101, NULL },
		{ 100, UINT64_MAX, NULL },
		{ 100, 50, dropped_most },
	};

	for (i = 0; i < nitems(bad); i++) {
		seqstate_init(&st);
		ck_assert_int_eq(unlinkat(dir, "sequence", 0), i == 0 ? -1 : 0);
		ck_assert_int_eq(seqstate_open(&st, dir, &found), 0);
		ck_assert_int_eq(seqstate_store(&st, bad[i].next_seq,
				     bad[i].confirmed, bad[i].dropped),
		    0);
		seqstate_close(&st, true);
		seqstate_init(&st);
		ck_assert_int_eq(seqstate_open(&st, dir, &found), 0);
		ck_assert_msg(!found, "number %zu", i);
		seqstate_close(&st, false);
	}
	open_spool(&sp, dir, MAX_BYTES, 0);
	ck_assert_int_eq(append(&sp, EVENT_PROGRAM_LOADED, 7, 1, 60), 0);
	ck_assert_int_eq(
	    append(&sp, EVENT_PROGRAM_LOADED, UINT64_MAX, 1, 60), 0);
	spool_close(&sp);
	open_spool(&sp, dir, MAX_BYTES, 0);
	ck_assert_uint_eq(sp.last_seq, 7);
	ck_assert_uint_eq(
	    seqstate_decide(NULL, boot, sp.last_seq, 5).next_seq, 8);
	spool_close(&sp);
	remove_directory(dir);
}
END_TEST

START_TEST (test_where_to_begin) {
	static const uint8_t boot[16] = { 1 }, other[16] = { 2 };
	struct seqstate_record r = { .next_seq = 100, .confirmed = 90 };
	struct seqstate_begin b;

	memcpy(r.boot_id, boot, sizeof(boot));
	/* nothing kept: what agentd says, or the spool, or 1 */
	b = seqstate_decide(NULL, boot, 0, 0);
	ck_assert_uint_eq(b.next_seq, 1);
	b = seqstate_decide(NULL, boot, 7, 5);
	ck_assert_uint_eq(b.next_seq, 8);
	b = seqstate_decide(NULL, boot, 7, 50);
	ck_assert_uint_eq(b.next_seq, 50);
	ck_assert_uint_eq(b.unsure_last, 0);
	/* killed: go on exactly, and say what is unsure */
	b = seqstate_decide(&r, boot, 0, 0);
	ck_assert_uint_eq(b.next_seq, 100);
	ck_assert_uint_eq(b.unsure_first, 91);
	ck_assert_uint_eq(b.unsure_last, 99);
	/* ended in order */
	r.clean = 1;
	b = seqstate_decide(&r, boot, 0, 0);
	ck_assert_uint_eq(b.next_seq, 100);
	ck_assert_uint_eq(b.unsure_last, 0);
	b = seqstate_decide(&r, other, 0, 0);
	ck_assert_uint_eq(b.next_seq, 100);
	/* a power loss: the record may be old */
	r.clean = 0;
	b = seqstate_decide(&r, other, 120, 0);
	ck_assert_uint_eq(b.next_seq, 121 + SEQSTATE_JUMP);
	ck_assert_uint_eq(b.unsure_first, 91);
	ck_assert_uint_eq(b.unsure_last, 120 + SEQSTATE_JUMP);
}
END_TEST

UNIT_MAIN("spool", test_order_confirm_and_reopen, test_torn_tail, test_rot,
    test_strange_files, test_shortage, test_segment_sizes, test_bound,
    test_disk_full, test_none, test_sequence_record,
    test_numbers_of_a_telemd_taken_over, test_where_to_begin)
