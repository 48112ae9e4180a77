/* SPDX-License-Identifier: ISC */
#include "apid/store.h"

void
store_init(struct store *st)
{
	(void)pthread_mutex_init(&st->lock, NULL);
	st->current = NULL;
	atomic_init(&st->generation, 0);
}

void
store_clear(struct store *st)
{
	stored_unref(st->current);
	st->current = NULL;
	(void)pthread_mutex_destroy(&st->lock);
}

int
store_put(struct store *st, int fd, const char **what)
{
	struct stored *s, *old;
	int r;

	*what = "mapping";
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	atomic_init(&s->refs, 1);
	r = memfd_map(fd, AEGIS_SNAPSHOT_MAX, &s->map);
	if (r == 0)
		r = snapshot_check(s->map.data, s->map.len, &s->snapshot, what);
	if (r < 0) {
		stored_unref(s);
		return r;
	}
	(void)pthread_mutex_lock(&st->lock);
	old = st->current;
	st->current = s;
	/* A published snapshot counts from 1, so that 0 can mean none. */
	atomic_store(&st->generation, s->snapshot.header->generation);
	(void)pthread_mutex_unlock(&st->lock);
	stored_unref(old);
	return 0;
}

struct stored *
store_get(struct store *st)
{
	struct stored *s;

	(void)pthread_mutex_lock(&st->lock);
	s = st->current;
	if (s != NULL)
		atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	(void)pthread_mutex_unlock(&st->lock);
	return s;
}

void
stored_unref(struct stored *s)
{
	if (s == NULL ||
	    atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	memfd_unmap(&s->map);
	free(s);
}

uint64_t
store_generation(struct store *st)
{
	return atomic_load(&st->generation);
}
