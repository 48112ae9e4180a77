/* SPDX-License-Identifier: ISC */
/*
 * The public keys that a signature may be made with: a pinned bundle, or
 * Vault's versions of one key.  A key that cannot serve (too short, unknown
 * type) is named and left out; the others hold.
 */
#ifndef VERIFYD_KEYRING_H
#define VERIFYD_KEYRING_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/keyset.h"
#include "verifyd/problems.h"

#define KEYRING_MAX KEYSET_KEYS_MAX

enum key_type { KEY_ED25519, KEY_P256, KEY_P384, KEY_RSA, KEY_RSA_PSS };

struct keyring_key {
	EVP_PKEY *pkey;
	enum key_type type;
	uint32_t version; /* Vault's; 0: pinned */
	char id[32];      /* "ed25519:" and the start of the SPKI's SHA-256 */
};

struct keyring {
	struct keyring_key keys[KEYRING_MAX];
	unsigned int count;
	bool versioned;       /* from Vault */
	uint32_t min_version; /* older signatures are refused */
};

/*
 * Replace the keys by those in LEN bytes of TEXT: PEM blocks, or base64 of a
 * DER SubjectPublicKeyInfo or of a raw Ed25519 key.  Keys that cannot be
 * used are told to PROBLEMS.  0, or -ENOKEY when none is left.
 */
int keyring_load_text(struct keyring *ring, const char *text, size_t len,
    struct problems *problems) _must_check_;

/* The same from Vault's set. */
int keyring_load_set(struct keyring *ring, const struct keyset *set,
    struct problems *problems) _must_check_;

/* Drop all keys. */
void keyring_clear(struct keyring *ring);

const char *key_type_name(enum key_type type);

#endif
