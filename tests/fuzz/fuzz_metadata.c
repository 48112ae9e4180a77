/* SPDX-License-Identifier: ISC */
/*
 * metadata.json, and the plan that is made of it with a real object.
 */
#include <stdint.h>

#include "kitchen_plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct metadata_expected expected = { "n", "1", "", "", "x86_64",
		"6.1.0" };
	struct unpacked u = UNPACKED_INIT;
	struct problems p = { 0 };
	struct metadata m;

	if (metadata_parse((const char *)data, size, &m, &p) < 0) {
		if (p.count == 0 ||
		    !str_is_text(problems_text(&p), AEGIS_ERROR_SIZE))
			abort();
		metadata_release(&m);
		return 0;
	}
	metadata_check(&m, &expected, &p);
	metadata_check_sums(&m, &u, &p);
	memset(&p, 0, sizeof(p));
	kitchen_plan(&m, NULL, &p);
	metadata_release(&m);
	return 0;
}
