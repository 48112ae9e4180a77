/* SPDX-License-Identifier: ISC */
/*
 * Numbers, truth values and enumerators: from JSON, checked against what a
 * BTF type can hold, into bytes or bits.
 */
#ifndef VERIFYD_BTF_SCALAR_H
#define VERIFYD_BTF_SCALAR_H

#include <bpf/btf.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "verifyd/btf_type.h"
#include "verifyd/problems.h"

/* A whole number in two's complement, of any width up to 64 bits and more. */
struct scalar {
	uint64_t bits;
	bool negative; /* extended with ones beyond 64 bits */
};

/*
 * A whole number from a JSON number or from a string of decimal or 0x
 * digits.  0; -EINVAL: no whole number; -ERANGE: beyond 64 bits.
 */
int scalar_from_json(
    struct json_object *value, struct scalar *out) _must_check_;

/* Does N fit in WIDTH bits, signed or not? */
bool scalar_fits(const struct scalar *n, unsigned int width, bool is_signed);

/* "a whole number from 0 to 255". */
#define SCALAR_RANGE_SIZE 80
void scalar_range(
    unsigned int width, bool is_signed, char out[SCALAR_RANGE_SIZE]);

/*
 * VALUE as the integer, bool or enum T, of WIDTH bits (its own or a
 * bit-field's).  0, or -EINVAL after a problem was added.
 */
int scalar_encode(const struct btf *btf, const struct btf_type *t,
    unsigned int width, struct json_object *value, const char *path,
    struct scalar *out, struct problems *problems) _must_check_;

/* Into LEN bytes, in ORDER. */
void scalar_store(
    const struct scalar *n, uint8_t *out, size_t len, enum byte_order order);

/* Into WIDTH bits from bit BIT_OFFSET on, as BTF counts them. */
void scalar_store_bits(const struct scalar *n, uint8_t *out,
    uint32_t bit_offset, unsigned int width);

#endif
