/* SPDX-License-Identifier: ISC */
/*
 * How long keys from Vault stay good while Vault does not confirm them.  A
 * key that was withdrawn must not be of use for ever to who can keep Vault
 * away from this host.
 */
#ifndef AGENTD_KEYAGE_H
#define AGENTD_KEYAGE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * When keys that Vault last gave at CONFIRMED_BOOT_NS are no longer used, on
 * the boot clock.  INT64_MAX, never, for keys that are not FROM_VAULT.
 */
int64_t keyage_end_boot_ns(
    bool from_vault, int64_t confirmed_boot_ns, uint32_t max_age_sec);

/* How often to ask Vault, so that it can miss some times: 1 to 3600 s. */
uint32_t keyage_refresh_sec(uint32_t max_age_sec);

#endif
