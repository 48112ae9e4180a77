/* SPDX-License-Identifier: ISC */
/*
 * A JSON value into the bytes that a BTF type wants.
 *
 * Integers take whole numbers or strings of digits ("443", "0x1bb"); enums
 * their names; bool true and false; char[] text; other byte arrays
 * hexadecimal digits or lists; anything of 4, 16 or 6 bytes an IPv4, IPv6 or
 * MAC address, in network order; structs and unions objects by member name,
 * members of anonymous ones included, what is not named is zero; arrays
 * lists, a short one is filled up with zeros.  Types that say their byte
 * order by a typedef (__be16, __le32 and so on) get numbers in that order.
 */
#ifndef VERIFYD_BTF_ENCODE_H
#define VERIFYD_BTF_ENCODE_H

#include <bpf/btf.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "verifyd/problems.h"

/* Room for "rules[3].port"; longer paths are cut. */
#define BTF_PATH_SIZE 192

/*
 * Encode VALUE as TYPE_ID of BTF into the LEN bytes at OUT, which must be
 * the type's size.  PATH names the value in problems.  0, or -EINVAL after
 * every problem in it was added; OUT is then not to be used.
 */
int btf_encode(const struct btf *btf, uint32_t type_id,
    struct json_object *value, void *out, size_t len, const char *path,
    struct problems *problems) _must_check_;

/*
 * The same for a map without BTF: LEN bytes from a number (of 1, 2, 4 or 8
 * bytes), an address or hexadecimal digits.
 */
int btf_encode_untyped(struct json_object *value, void *out, size_t len,
    const char *path, struct problems *problems) _must_check_;

#endif
