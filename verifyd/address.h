/* SPDX-License-Identifier: ISC */
/*
 * Addresses and byte strings as people write them, into bytes in the order
 * of the wire.
 */
#ifndef VERIFYD_ADDRESS_H
#define VERIFYD_ADDRESS_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

enum address_kind {
	ADDRESS_NONE, /* the text is no address */
	ADDRESS_IPV4, /* 4 bytes */
	ADDRESS_IPV6, /* 16 bytes */
	ADDRESS_MAC,  /* 6 bytes, by ':' or '-' */
};

/* What TEXT is; OUT takes 16 bytes. */
enum address_kind address_parse(const char *text, uint8_t out[16]);

/* Bytes of an address of that kind, 0 for none. */
size_t address_len(enum address_kind kind);
const char *address_kind_name(enum address_kind kind);

/*
 * "address/length" or an address alone (its full length).  The kind (IPv4 or
 * IPv6) with *PREFIX in bits; ADDRESS_NONE if it is neither.
 */
enum address_kind address_parse_prefix(
    const char *text, uint8_t out[16], uint32_t *prefix);

/*
 * Hexadecimal digits, perhaps after "0x", or pairs of them separated by ':'
 * or '-': exactly LEN bytes.  0; -EINVAL: no hexadecimal; -ERANGE: another
 * length, *HAVE bytes (for even numbers of digits).
 */
int address_parse_bytes(
    const char *text, uint8_t *out, size_t len, size_t *have) _must_check_;

#endif
