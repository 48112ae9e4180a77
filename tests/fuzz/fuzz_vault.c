/* SPDX-License-Identifier: ISC */
/*
 * Vault's answer about a key, as somebody on the path would write it.  No
 * crash, and what comes out is a key set that verifyd's check accepts.
 */
#include <stdint.h>

#include "common/keyset.h"
#include "common/strnum.h"
#include "fetchd/vaultkeys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[VAULTKEYS_ERROR_SIZE];
	struct keyset_header *records = NULL;
	struct keyset set;
	const char *what;
	size_t len;
	uint32_t i;

	if (vaultkeys_parse((const char *)data, size, &records, &len, error) <
	    0) {
		if (records != NULL || !str_is_text(error, sizeof(error)))
			abort();
		return 0;
	}
	if (keyset_check(records, len, &set, &what) < 0)
		abort();
	for (i = 1; i < set.header->key_count; i++)
		if (set.keys[i - 1].version >= set.keys[i].version)
			abort();
	free(records);
	return 0;
}
