/* SPDX-License-Identifier: ISC */
/*
 * Does a key of the ring vouch for exactly these bytes?  The first and only
 * question asked before anything of an artifact is looked into.
 */
#ifndef VERIFYD_SIGNATURE_H
#define VERIFYD_SIGNATURE_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "verifyd/keyring.h"
#include "verifyd/problems.h"

/*
 * Check SIGNATURE (base64, or "vault:vN:base64") over the LEN bytes at DATA,
 * whose SHA-256 the caller has at hand.  0 with *KEY the key that holds
 * (the ring's).  Else after a problem was added: -ENOKEY, no key is known
 * or not the version that the signature names (*VERSION, 0 if none): the
 * answer may change; -EBADMSG, refused for good.
 */
int signature_verify(const struct keyring *ring, const char *signature,
    const void *data, size_t len, const uint8_t sha256[32],
    const struct keyring_key **key, uint32_t *version,
    struct problems *problems) _must_check_;

#endif
