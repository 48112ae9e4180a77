/* SPDX-License-Identifier: ISC */
#include "agentd/keyage.h"

#include "common/clock.h"

/* Often enough that a revoked key is soon forgotten. */
#define REFRESH_MAX_SEC 3600
#define ASKED_PER_AGE   12

int64_t
keyage_end_boot_ns(
    bool from_vault, int64_t confirmed_boot_ns, uint32_t max_age_sec)
{
	int64_t end;

	if (!from_vault ||
	    __builtin_add_overflow(
		confirmed_boot_ns, (int64_t)max_age_sec * NSEC_PER_SEC, &end))
		return INT64_MAX;
	return end;
}

uint32_t
keyage_refresh_sec(uint32_t max_age_sec)
{
	uint32_t sec = max_age_sec / ASKED_PER_AGE;

	if (sec < 1)
		return 1;
	return sec < REFRESH_MAX_SEC ? sec : REFRESH_MAX_SEC;
}
