/* SPDX-License-Identifier: ISC */
#include "telemd/batch.h"

struct batch *batch_new(enum event_class class)
{
	struct batch *b = calloc(1, sizeof(*b));

	if (b != NULL)
		b->class = class;
	return b;
}

void
batch_free(struct batch *b)
{
	if (b == NULL)
		return;
	jsonbuf_free(&b->buf);
	free(b);
}

size_t
batch_begin(struct batch *b)
{
	size_t start = b->buf.len;

	if (jsonbuf_reserve(&b->buf, sizeof(struct record)))
		b->buf.len += sizeof(struct record);
	return start;
}

bool
batch_end(struct batch *b, size_t start, enum event_type type, uint64_t seq,
    const uint8_t *event_id)
{
	static const char zeros[8];
	struct record r = { .seq = seq, .type = (uint8_t)type };
	size_t len;

	if (b->buf.failed)
		goto gone;
	len = b->buf.len - start - sizeof(r);
	if (len > RECORD_MAX_LEN)
		goto gone;
	r.len = (uint32_t)len;
	memcpy(r.event_id, event_id, sizeof(r.event_id));
	jsonbuf_raw(&b->buf, zeros, -b->buf.len & 7);
	if (b->buf.failed)
		goto gone;
	memcpy(b->buf.data + start, &r, sizeof(r));
	if (b->count++ == 0)
		b->first_seq = seq;
	b->last_seq = seq;
	return true;
gone:
	b->buf.failed = false;
	b->buf.len = start;
	return false;
}

const struct record *
batch_next(const struct batch *b, size_t *off)
{
	const struct record *r;

	if (*off >= b->buf.len)
		return NULL;
	r = (const struct record *)(const void *)(b->buf.data + *off);
	*off += record_size(r);
	return r;
}
