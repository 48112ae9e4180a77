/* SPDX-License-Identifier: ISC */
#include "common/artlist.h"

#include <stdbool.h>
#include <string.h>

#include "common/memfd.h"
#include "common/records.h"
#include "common/strnum.h"

_Static_assert(sizeof(struct artlist_header) % 8 == 0 &&
	sizeof(struct artlist_entry) % 8 == 0,
    "records follow each other at their natural alignment");

static bool
optional_identifier(const char *s, size_t size)
{
	return s[0] == '\0' || str_is_identifier(s, size);
}

static const char *
check_entry(const struct artlist *list, const struct artlist_entry *e)
{
	if (!str_is_identifier(e->artifact_id, sizeof(e->artifact_id)))
		return "entry: artifact_id";
	if (!str_is_identifier(e->name, sizeof(e->name)))
		return "entry: name";
	if (!str_is_identifier(e->version, sizeof(e->version)))
		return "entry: version";
	if (!optional_identifier(e->architecture, sizeof(e->architecture)) ||
	    !optional_identifier(
		e->kernel_version, sizeof(e->kernel_version)) ||
	    !optional_identifier(e->replaces, sizeof(e->replaces)))
		return "entry: architecture, kernel_version or replaces";
	if (!str_is_text(e->signature, sizeof(e->signature)))
		return "entry: signature";
	if (e->ttl_sec < -1)
		return "entry: ttl_sec";
	if (!records_within(
		e->params_off, e->params_len, list->header->data_len) ||
	    e->params_len > AEGIS_PARAMETERS_MAX)
		return "entry: parameters";
	return NULL;
}

static int
compare_ids(const void *a, const void *b)
{
	const struct artlist_entry *const *x = a;
	const struct artlist_entry *const *y = b;

	return strcmp((*x)->artifact_id, (*y)->artifact_id);
}

static bool
ids_are_unique(const struct artlist *list)
{
	_cleanup_free_ const struct artlist_entry **sorted = NULL;
	uint32_t i, n = list->header->entry_count;

	if (n < 2)
		return true;
	sorted = calloc(n, sizeof(*sorted));
	if (sorted == NULL)
		return false;
	for (i = 0; i < n; i++)
		sorted[i] = &list->entries[i];
	qsort(sorted, n, sizeof(*sorted), compare_ids);
	for (i = 1; i < n; i++)
		if (compare_ids(&sorted[i - 1], &sorted[i]) == 0)
			return false;
	return true;
}

int
artlist_check(
    const void *bytes, size_t len, struct artlist *list, const char **what)
{
	const struct artlist_header *h = bytes;
	size_t entries_len;
	uint32_t i;

	memset(list, 0, sizeof(*list));
	*what = "header";
	if (len < sizeof(*h) || h->magic != ARTLIST_MAGIC ||
	    h->version != ARTLIST_VERSION || h->total_len != len ||
	    h->entry_count > AEGIS_LIST_ENTRIES)
		return -EBADMSG;
	*what = "entries longer than the list";
	entries_len = (size_t)h->entry_count * sizeof(*list->entries);
	if (entries_len > len - sizeof(*h) ||
	    h->data_len != len - sizeof(*h) - entries_len)
		return -EBADMSG;
	list->header = h;
	list->entries = (const void *)((const char *)bytes + sizeof(*h));
	list->data = (const uint8_t *)bytes + sizeof(*h) + entries_len;
	for (i = 0; i < h->entry_count; i++) {
		*what = check_entry(list, &list->entries[i]);
		if (*what != NULL)
			return -EBADMSG;
	}
	*what = "two entries with one artifact_id";
	if (!ids_are_unique(list))
		return -EBADMSG;
	*what = NULL;
	return 0;
}

int
artlist_write(const struct artlist_entry *entries, uint32_t count,
    const void *data, uint32_t data_len)
{
	struct artlist_header h = {
		.magic = ARTLIST_MAGIC,
		.version = ARTLIST_VERSION,
		.entry_count = count,
		.data_len = data_len,
	};
	_cleanup_free_ char *bytes = NULL;
	size_t entries_len = (size_t)count * sizeof(*entries), len;

	len = sizeof(h) + entries_len + data_len;
	if (count > AEGIS_LIST_ENTRIES || len > ARTLIST_MAX)
		return -E2BIG;
	h.total_len = len;
	bytes = malloc(len);
	if (bytes == NULL)
		return -ENOMEM;
	memcpy(bytes, &h, sizeof(h));
	if (entries_len > 0)
		memcpy(bytes + sizeof(h), entries, entries_len);
	if (data_len > 0)
		memcpy(bytes + sizeof(h) + entries_len, data, data_len);
	return memfd_from_bytes("artifact-list", bytes, len);
}
