/* SPDX-License-Identifier: ISC */
#include "verifyd/address.h"

#include <arpa/inet.h>
#include <string.h>

#include "common/strnum.h"

#define MAC_LEN 6

size_t
address_len(enum address_kind kind)
{
	static const size_t lengths[] = { 0, 4, 16, MAC_LEN };

	return lengths[kind];
}

const char *
address_kind_name(enum address_kind kind)
{
	static const char *const names[] = { "no", "an IPv4", "an IPv6",
		"a MAC" };

	return names[kind];
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* LEN pairs of digits with one and the same separator between them. */
static int
parse_pairs(const char *text, uint8_t *out, size_t len, size_t *have)
{
	size_t n = strlen(text), i;
	char sep;

	if (n < 5 || (n + 1) % 3 != 0)
		return -EINVAL;
	sep = text[2];
	if (sep != ':' && sep != '-')
		return -EINVAL;
	*have = (n + 1) / 3;
	for (i = 0; i < n; i++)
		if (i % 3 == 2 ? text[i] != sep : hex_digit(text[i]) < 0)
			return -EINVAL;
	if (*have != len)
		return -ERANGE;
	for (i = 0; i < len; i++)
		out[i] = (uint8_t)(hex_digit(text[3 * i]) << 4 |
		    hex_digit(text[3 * i + 1]));
	return 0;
}

int
address_parse_bytes(const char *text, uint8_t *out, size_t len, size_t *have)
{
	size_t n;

	if (parse_pairs(text, out, len, have) == 0)
		return 0;
	if (strchr(text, ':') != NULL || strchr(text, '-') != NULL)
		return parse_pairs(text, out, len, have);
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		text += 2;
	n = strlen(text);
	if (n == 0 || n % 2 != 0 || strspn(text, "0123456789abcdefABCDEF") != n)
		return -EINVAL;
	*have = n / 2;
	if (*have != len)
		return -ERANGE;
	return strnum_parse_hex(text, out, len);
}

enum address_kind
address_parse(const char *text, uint8_t out[16])
{
	size_t have;

	if (inet_pton(AF_INET, text, out) == 1)
		return ADDRESS_IPV4;
	if (inet_pton(AF_INET6, text, out) == 1)
		return ADDRESS_IPV6;
	if (parse_pairs(text, out, MAC_LEN, &have) == 0)
		return ADDRESS_MAC;
	return ADDRESS_NONE;
}

enum address_kind
address_parse_prefix(const char *text, uint8_t out[16], uint32_t *prefix)
{
	const char *slash = strchr(text, '/');
	enum address_kind kind;
	uint64_t bits;
	char host[64];

	if (slash == NULL) {
		kind = address_parse(text, out);
		*prefix = (uint32_t)address_len(kind) * 8;
		return kind == ADDRESS_MAC ? ADDRESS_NONE : kind;
	}
	if ((size_t)(slash - text) >= sizeof(host))
		return ADDRESS_NONE;
	memcpy(host, text, (size_t)(slash - text));
	host[slash - text] = '\0';
	kind = address_parse(host, out);
	if (kind != ADDRESS_IPV4 && kind != ADDRESS_IPV6)
		return ADDRESS_NONE;
	/* "0x18" is a number elsewhere, not here. */
	if (strspn(slash + 1, "0123456789") != strlen(slash + 1) ||
	    strnum_parse_u64(slash + 1, 0, address_len(kind) * 8, &bits) < 0)
		return ADDRESS_NONE;
	*prefix = (uint32_t)bits;
	return kind;
}
