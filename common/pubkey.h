/* SPDX-License-Identifier: ISC */
/*
 * The forms in which an operator may write a public key, made into the one
 * that workers take: PEM.  Shapes only: keys are parsed by verifyd, which
 * cannot load programs; agentd links no cryptography.
 */
#ifndef COMMON_PUBKEY_H
#define COMMON_PUBKEY_H

#include <stdbool.h>
#include <stddef.h>

#include "common/cleanup.h"

/* True for "file:/path". */
bool pubkey_is_file(const char *value);

/* The path in it. */
const char *pubkey_file(const char *value);

/*
 * PEM text of VALUE: PEM with newlines or with "\n" written out, base64 of a
 * DER SubjectPublicKeyInfo, or base64 of a raw Ed25519 key of 32 bytes.
 * *PEM is owned by the caller and may be NULL to check only.  -EINVAL with
 * *WHAT (static): what is wrong and what is allowed.
 */
int pubkey_to_pem(
    const char *value, char **pem, const char **what) _must_check_;

#endif
