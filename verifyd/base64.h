/* SPDX-License-Identifier: ISC */
/*
 * Standard base64 (RFC 4648, section 4), strictly: padded, canonical, and
 * nothing between but the line ends that base64(1) and cosign leave.
 */
#ifndef VERIFYD_BASE64_H
#define VERIFYD_BASE64_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

/*
 * Decode LEN characters of TEXT into OUT (ROOM bytes).  Returns the length,
 * or -EINVAL with *AT where the first wrong character is (LEN: the end came
 * too soon), or -EMSGSIZE when OUT is too small.
 */
int base64_decode(const char *text, size_t len, uint8_t *out, size_t room,
    size_t *at) _must_check_;

#endif
