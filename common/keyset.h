/* SPDX-License-Identifier: ISC */
/*
 * A set of verification keys with versions, as flat records in a sealed
 * memfd: fetchd (Vault) writes it, verifyd reads it, agentd passes it on.
 * A pinned AGENT_PUBLIC_KEY does not use this: it goes to verifyd as text.
 */
#ifndef COMMON_KEYSET_H
#define COMMON_KEYSET_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

#define KEYSET_MAGIC    0x59454b41u /* "AKEY" */
#define KEYSET_VERSION  1
#define KEYSET_KEYS_MAX 64
#define KEYSET_MAX      (1u << 20)

struct keyset_header {
	uint32_t magic;
	uint32_t version;
	uint32_t key_count;
	uint32_t min_version; /* min_decryption_version: older are refused */
};

struct keyset_key {
	uint32_t version; /* Vault's key version, from 1; KV v2: 1 */
	uint32_t text_len;
	char text[8184]; /* PEM, or base64 of raw Ed25519 or DER SPKI */
};

struct keyset {
	const struct keyset_header *header;
	const struct keyset_key *keys;
};

/* Check LEN bytes at BYTES; 0 or -EBADMSG with *WHAT (static). */
int keyset_check(const void *bytes, size_t len, struct keyset *set,
    const char **what) _must_check_;

#endif
