/* SPDX-License-Identifier: ISC */
#include "agentd/backoff.h"

int64_t
backoff_ns(unsigned int attempt, int64_t first_ns, int64_t cap_ns)
{
	int64_t wait = first_ns;

	if (attempt == 0)
		return 0;
	while (--attempt > 0 && wait < cap_ns)
		if (__builtin_add_overflow(wait, wait, &wait))
			return cap_ns;
	return wait < cap_ns ? wait : cap_ns;
}
