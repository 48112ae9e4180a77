/* SPDX-License-Identifier: ISC */
/*
 * Vault's answer about a key, from JSON to the records of common/keyset.h.
 */
#ifndef FETCHD_VAULTKEYS_H
#define FETCHD_VAULTKEYS_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/keyset.h"

/* A key with all its versions takes some kilobytes. */
#define VAULTKEYS_ANSWER_MAX (1u << 20)
#define VAULTKEYS_ERROR_SIZE 256

/*
 * Read LEN bytes at TEXT: a Transit key (data.keys.<version>.public_key,
 * data.min_decryption_version), a KV version 2 secret (data.data.public_key)
 * or a KV version 1 secret (data.public_key).  *RECORDS becomes a header and
 * keys, the newest KEYSET_KEYS_MAX, by ascending version (owned, free).  0,
 * or -EBADMSG, -ENOMEM with ERROR (VAULTKEYS_ERROR_SIZE bytes).
 */
int vaultkeys_parse(const char *text, size_t len,
    struct keyset_header **records, size_t *records_len,
    char *error) _must_check_;

#endif
