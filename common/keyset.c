/* SPDX-License-Identifier: ISC */
#include "common/keyset.h"

#include <string.h>

int
keyset_check(
    const void *bytes, size_t len, struct keyset *set, const char **what)
{
	const struct keyset_header *h = bytes;
	uint32_t i;

	memset(set, 0, sizeof(*set));
	*what = "header";
	if (len < sizeof(*h) || h->magic != KEYSET_MAGIC ||
	    h->version != KEYSET_VERSION || h->key_count > KEYSET_KEYS_MAX)
		return -EBADMSG;
	*what = "length";
	if (len != sizeof(*h) + h->key_count * sizeof(struct keyset_key))
		return -EBADMSG;
	set->header = h;
	set->keys = (const void *)((const char *)bytes + sizeof(*h));
	*what = "key text";
	for (i = 0; i < h->key_count; i++)
		if (set->keys[i].version == 0 || set->keys[i].text_len == 0 ||
		    set->keys[i].text_len > sizeof(set->keys[i].text))
			return -EBADMSG;
	*what = NULL;
	return 0;
}
