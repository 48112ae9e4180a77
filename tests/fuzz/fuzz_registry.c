/* SPDX-License-Identifier: ISC */
/*
 * The registry's list, as a hostile registry would write it.  Whatever comes
 * in: no crash, and what comes out is a list that agentd's check accepts.
 */
#include <stdint.h>
#include <string.h>

#include "common/artlist.h"
#include "common/strnum.h"
#include "fetchd/reglist.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
complain(uint32_t index, const char *id, const char *error, void *ctx)
{
	/* What is said of an entry must be words that a log can carry. */
	if (error[0] == '\0' || !str_is_text(error, REGLIST_ERROR_SIZE))
		abort();
	if (id[0] != '\0' && !str_is_identifier(id, AEGIS_ID_SIZE))
		abort();
}

static void
check_records(const struct reglist *list)
{
	struct artlist_header h = {
		.magic = ARTLIST_MAGIC,
		.version = ARTLIST_VERSION,
		.entry_count = list->count,
		.data_len = list->data_len,
	};
	size_t entries_len = list->count * sizeof(*list->entries);
	struct artlist flat;
	const char *what;
	char *bytes;

	h.total_len = sizeof(h) + entries_len + list->data_len;
	bytes = malloc(h.total_len);
	if (bytes == NULL)
		return;
	memcpy(bytes, &h, sizeof(h));
	if (entries_len > 0)
		memcpy(bytes + sizeof(h), list->entries, entries_len);
	if (list->data_len > 0)
		memcpy(bytes + sizeof(h) + entries_len, list->data,
		    list->data_len);
	if (artlist_check(bytes, h.total_len, &flat, &what) < 0)
		abort();
	free(bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[REGLIST_ERROR_SIZE];
	struct reglist list;
	int r;

	r = reglist_parse(
	    (const char *)data, size, &list, complain, NULL, error);
	if (r < 0) {
		if (error[0] == '\0' || !str_is_text(error, sizeof(error)))
			abort();
		return 0;
	}
	check_records(&list);
	reglist_free(&list);
	return 0;
}
