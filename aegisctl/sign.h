/* SPDX-License-Identifier: ISC */
/*
 * The signer's half: a private key that signs as aegis-artifact(5) has it.
 */
#ifndef AEGISCTL_SIGN_H
#define AEGISCTL_SIGN_H

#include <stddef.h>

#include "common/cleanup.h"

/*
 * Sign LEN bytes of DATA with the PEM key in the file PATH: SIGNATURE (SIZE
 * bytes) as base64, and the key's public half as a sealed memfd of PEM text
 * (owned).  -errno after saying on standard error what is wrong.
 */
int sign_bytes(const char *path, const void *data, size_t len, char *signature,
    size_t size) _must_check_;

/* SHA-256 in hexadecimal; HEX takes 65 bytes. */
int sign_sha256(const void *data, size_t len, char *hex) _must_check_;

#endif
