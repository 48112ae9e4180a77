/* SPDX-License-Identifier: ISC */
#include "agentd/index.h"

#include <stdlib.h>
#include <string.h>

#include "agentd/artifact.h"

/* Where HANDLE is, or would be. */
static size_t
place_of_handle(const struct artifact_index *index, uint64_t handle)
{
	size_t low = 0, high = index->count, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (index->by_handle[mid]->handle < handle)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The first of ID whose handle is HANDLE or lower, or where it would be. */
static size_t
place_of_id(const struct artifact_index *index, const char *id, uint64_t handle)
{
	size_t low = 0, high = index->count, mid;
	int r;

	while (low < high) {
		mid = low + (high - low) / 2;
		r = strcmp(index->by_id[mid]->listing.artifact_id, id);
		if (r < 0 || (r == 0 && index->by_id[mid]->handle > handle))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void
insert(struct artifact **array, size_t count, size_t at, struct artifact *a)
{
	memmove(&array[at + 1], &array[at], (count - at) * sizeof(array[0]));
	array[at] = a;
}

static void
take_out(struct artifact **array, size_t count, size_t at)
{
	memmove(
	    &array[at], &array[at + 1], (count - at - 1) * sizeof(array[0]));
}

/* Room for one more in both. */
static int
grow(struct artifact_index *index)
{
	size_t room = index->room > 0 ? 2 * index->room : 64;
	struct artifact **grown;

	if (index->count < index->room)
		return 0;
	grown = reallocarray(index->by_handle, room, sizeof(grown[0]));
	if (grown == NULL)
		return -ENOMEM;
	index->by_handle = grown;
	grown = reallocarray(index->by_id, room, sizeof(grown[0]));
	if (grown == NULL)
		return -ENOMEM;
	index->by_id = grown;
	index->room = room;
	return 0;
}

int
index_add(struct artifact_index *index, struct artifact *a)
{
	const char *id = a->listing.artifact_id;
	int r = grow(index);

	if (r < 0)
		return r;
	insert(index->by_handle, index->count,
	    place_of_handle(index, a->handle), a);
	insert(
	    index->by_id, index->count, place_of_id(index, id, a->handle), a);
	index->count++;
	return 0;
}

void
index_remove(struct artifact_index *index, const struct artifact *a)
{
	take_out(
	    index->by_handle, index->count, place_of_handle(index, a->handle));
	take_out(index->by_id, index->count,
	    place_of_id(index, a->listing.artifact_id, a->handle));
	index->count--;
}

void
index_free(struct artifact_index *index)
{
	free(index->by_handle);
	free(index->by_id);
	memset(index, 0, sizeof(*index));
}

struct artifact *
index_find(const struct artifact_index *index, uint64_t handle)
{
	size_t at = place_of_handle(index, handle);

	return at < index->count && index->by_handle[at]->handle == handle
	    ? index->by_handle[at]
	    : NULL;
}

struct artifact *
index_next(const struct artifact_index *index, const char *artifact_id,
    const struct artifact *after)
{
	uint64_t handle = after != NULL ? after->handle - 1 : UINT64_MAX;
	size_t at = place_of_id(index, artifact_id, handle);

	return at < index->count &&
		strcmp(index->by_id[at]->listing.artifact_id, artifact_id) == 0
	    ? index->by_id[at]
	    : NULL;
}
