/* SPDX-License-Identifier: ISC */
#include "telemd/seqstate.h"

#include <fcntl.h>
#include <string.h>

#include "common/crc32c.h"
#include "common/limits.h"
#include "common/strnum.h"

static const char magic[8] = "AEGSEQ1";

static uint64_t
max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

struct seqstate_begin
seqstate_decide(const struct seqstate_record *saved, const uint8_t boot_id[16],
    uint64_t spool_last, uint64_t configured)
{
	struct seqstate_begin b = { 0 };

	b.next_seq = max_u64(max_u64(configured, spool_last + 1), 1);
	if (saved == NULL)
		return b;
	b.next_seq = max_u64(b.next_seq, saved->next_seq);
	if (saved->clean)
		return b;
	if (memcmp(saved->boot_id, boot_id, sizeof(saved->boot_id)) != 0)
		b.next_seq += SEQSTATE_JUMP;
	if (b.next_seq - 1 > saved->confirmed) {
		b.unsure_first = saved->confirmed + 1;
		b.unsure_last = b.next_seq - 1;
	}
	return b;
}

void
seqstate_init(struct seqstate *st)
{
	memset(st, 0, sizeof(*st));
	st->fd = -1;
	(void)pthread_mutex_init(&st->mu, NULL);
}

static uint32_t
record_crc(const struct seqstate_record *r)
{
	const char *p = (const char *)&r->clean;

	return crc32c(0, p, sizeof(*r) - (size_t)(p - (const char *)r));
}

void
seqstate_boot_id(uint8_t out[16])
{
	_cleanup_fd_ int fd =
	    open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char text[64], hex[33];
	size_t i, n = 0;
	ssize_t len;

	memset(out, 0, 16);
	len = fd != -1 ? read(fd, text, sizeof(text)) : -1;
	for (i = 0; len > 0 && i < (size_t)len && n < 32; i++)
		if (text[i] != '-')
			hex[n++] = text[i];
	hex[n] = '\0';
	if (n != 32 || strnum_parse_hex(hex, out, 16) < 0)
		memset(out, 0, 16);
}

/*
 * A telemd that was taken over may have written it: no number or count that
 * leaves no room for those to come.
 */
static bool
is_likely(const struct seqstate_record *r)
{
	size_t i;

	for (i = 0; i < nitems(r->dropped); i++)
		if (r->dropped[i] > AEGIS_COUNT_MAX / 2)
			return false;
	return r->next_seq <= AEGIS_COUNT_MAX && r->confirmed <= r->next_seq;
}

int
seqstate_open(struct seqstate *st, int dir, bool *found)
{
	struct seqstate_record r;
	ssize_t n;

	st->fd = openat(
	    dir, "sequence", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (st->fd == -1)
		return -errno;
	n = pread(st->fd, &r, sizeof(r), 0);
	if (n == -1)
		return -errno;
	*found = n == sizeof(r) && memcmp(r.magic, magic, 8) == 0 &&
	    r.crc == record_crc(&r) && is_likely(&r);
	if (*found)
		st->r = r;
	return 0;
}

static int
write_record(struct seqstate *st)
{
	struct seqstate_record r = st->r;
	ssize_t n;

	memcpy(r.magic, magic, sizeof(r.magic));
	r.crc = record_crc(&r);
	n = pwrite(st->fd, &r, sizeof(r), 0);
	if (n == -1)
		return -errno;
	return n == sizeof(r) ? 0 : -ENOSPC;
}

int
seqstate_store(struct seqstate *st, uint64_t next_seq, uint64_t confirmed,
    const uint64_t *dropped)
{
	int r = 0;

	if (st->fd == -1)
		return 0;
	(void)pthread_mutex_lock(&st->mu);
	if (next_seq <= st->r.next_seq && confirmed == 0 && dropped == NULL &&
	    st->r.clean == 0 && st->error == 0)
		goto known;
	st->r.clean = 0;
	st->r.next_seq = max_u64(st->r.next_seq, next_seq);
	if (confirmed != 0)
		st->r.confirmed = confirmed;
	if (dropped != NULL)
		memcpy(st->r.dropped, dropped, sizeof(st->r.dropped));
	r = write_record(st);
	st->error = r;
known:
	(void)pthread_mutex_unlock(&st->mu);
	return r;
}

int
seqstate_error(struct seqstate *st)
{
	int r;

	(void)pthread_mutex_lock(&st->mu);
	r = st->error;
	(void)pthread_mutex_unlock(&st->mu);
	return r;
}

void
seqstate_close(struct seqstate *st, bool clean)
{
	if (st->fd != -1 && clean) {
		st->r.clean = 1;
		if (write_record(st) == 0)
			(void)fdatasync(st->fd);
	}
	fd_close(&st->fd);
	(void)pthread_mutex_destroy(&st->mu);
}
