/* SPDX-License-Identifier: ISC */
#include "fetchd/complaints.h"

#include <string.h>

#include "common/fnv.h"

void
complaints_begin(struct complaints *c)
{
	c->now_count = 0;
	c->lines = 0;
	c->unsaid = 0;
}

static bool
is_known(const struct complaints *c, uint64_t h)
{
	uint32_t i;

	for (i = 0; i < c->known_count; i++)
		if (c->known[i] == h)
			return true;
	return false;
}

bool
complaints_add(
    struct complaints *c, uint32_t index, const char *id, const char *error)
{
	uint64_t h = FNV1A_INIT;

	/* An entry without a name is known by its place. */
	if (id[0] == '\0')
		h = fnv1a(h, &index, sizeof(index));
	h = fnv1a(h, id, strlen(id) + 1);
	h = fnv1a(h, error, strlen(error));
	if (c->now_count < AEGIS_LIST_ENTRIES)
		c->now[c->now_count++] = h;
	if (is_known(c, h))
		return false;
	if (c->lines == COMPLAINTS_LINES) {
		c->unsaid++;
		return false;
	}
	c->lines++;
	return true;
}

uint32_t
complaints_end(struct complaints *c)
{
	memcpy(c->known, c->now, c->now_count * sizeof(c->now[0]));
	c->known_count = c->now_count;
	return c->unsaid;
}
