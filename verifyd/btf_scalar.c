/* SPDX-License-Identifier: ISC */
#include "verifyd/btf_scalar.h"

#include <string.h>

#include "common/strnum.h"
#include "verifyd/json.h"

int
scalar_from_json(struct json_object *value, struct scalar *out)
{
	const char *text;
	int64_t i = 0;
	uint64_t u = 0;
	int r;

	if (json_object_is_type(value, json_type_int)) {
		out->negative = json_is_negative(value);
		out->bits = out->negative
		    ? (uint64_t)json_object_get_int64(value)
		    : json_object_get_uint64(value);
		return 0;
	}
	if (!json_object_is_type(value, json_type_string))
		return -EINVAL;
	text = json_object_get_string(value);
	if (*text == '-') {
		r = strnum_parse_i64(text, INT64_MIN, INT64_MAX, &i);
		out->bits = (uint64_t)i;
	} else {
		r = strnum_parse_u64(text, 0, UINT64_MAX, &u);
		out->bits = u;
	}
	out->negative = i < 0;
	return r;
}

/* The largest number that WIDTH bits hold. */
static uint64_t
largest(unsigned int width, bool is_signed)
{
	unsigned int bits = is_signed ? width - 1 : width;

	if (bits == 0)
		return 0;
	return bits >= 64 ? UINT64_MAX : UINT64_MAX >> (64 - bits);
}

bool
scalar_fits(const struct scalar *n, unsigned int width, bool is_signed)
{
	if (!n->negative)
		return n->bits <= largest(width, is_signed);
	/* In two's complement -1 - N is the mirror of N. */
	return is_signed && ~n->bits <= largest(width, true);
}

void
scalar_range(unsigned int width, bool is_signed, char out[SCALAR_RANGE_SIZE])
{
	uint64_t max = largest(width > 64 ? 64 : width, is_signed);

	if (is_signed)
		(void)snprintf(out, SCALAR_RANGE_SIZE,
		    "a whole number from %lld to %llu", -(long long)max - 1,
		    (unsigned long long)max);
	else
		(void)snprintf(out, SCALAR_RANGE_SIZE,
		    "a whole number from 0 to %llu", (unsigned long long)max);
}

static int
encode_bool(struct json_object *value, const char *path, struct scalar *out,
    struct problems *problems)
{
	char quoted[PROBLEM_QUOTE_SIZE];
	const char *text = "";

	out->negative = false;
	if (json_object_is_type(value, json_type_boolean)) {
		out->bits = json_object_get_boolean(value) != 0;
		return 0;
	}
	if (json_object_is_type(value, json_type_string))
		text = json_object_get_string(value);
	out->bits = strcmp(text, "true") == 0;
	if (out->bits == 1 || strcmp(text, "false") == 0)
		return 0;
	if (scalar_from_json(value, out) == 0 && !out->negative &&
	    out->bits <= 1)
		return 0;
	problem_add(problems, "parameter %s: %s: wanted true or false", path,
	    problem_quote(value, quoted));
	return -EINVAL;
}

/* Enumerator I of T: its name and value. */
static const char *
enumerator(const struct btf *btf, const struct btf_type *t, uint32_t i,
    struct scalar *out)
{
	const struct btf_enum64 *e64;
	const struct btf_enum *e;
	uint32_t name_off;

	if (btf_is_enum64(t)) {
		e64 = btf_enum64(t) + i;
		name_off = e64->name_off;
		out->bits = (uint64_t)e64->val_hi32 << 32 | e64->val_lo32;
		out->negative = btf_kflag(t) && (int64_t)out->bits < 0;
	} else {
		e = btf_enum(t) + i;
		name_off = e->name_off;
		/* An unsigned one above INT32_MAX reads as negative here;
		 * in 32 bits it is the same. */
		out->negative = e->val < 0;
		out->bits = (uint64_t)(int64_t)e->val;
	}
	return btf__name_by_offset(btf, name_off);
}

static bool
fits_either(const struct scalar *n, unsigned int width)
{
	return scalar_fits(n, width, false) || scalar_fits(n, width, true);
}

static int
encode_enum(const struct btf *btf, const struct btf_type *t, unsigned int width,
    struct json_object *value, const char *path, struct scalar *out,
    struct problems *problems)
{
	char quoted[PROBLEM_QUOTE_SIZE], known[240];
	const char *name, *text = NULL;
	struct scalar n;
	size_t len = 0;
	uint32_t i;

	if (json_object_is_type(value, json_type_string))
		text = json_object_get_string(value);
	known[0] = '\0';
	for (i = 0; i < btf_vlen(t); i++) {
		name = enumerator(btf, t, i, &n);
		if (name == NULL)
			continue;
		if (text != NULL && strcmp(name, text) == 0 &&
		    fits_either(&n, width)) {
			*out = n;
			return 0;
		}
		if (len + strlen(name) + 2 < sizeof(known))
			len += (size_t)snprintf(
			    known + len, sizeof(known) - len, " %s", name);
	}
	/* Flags are or-ed together: any number of the width will do. */
	if (scalar_from_json(value, out) == 0 && fits_either(out, width))
		return 0;
	problem_add(problems, "parameter %s: %s: wanted one of%s", path,
	    problem_quote(value, quoted), known);
	return -EINVAL;
}

int
scalar_encode(const struct btf *btf, const struct btf_type *t,
    unsigned int width, struct json_object *value, const char *path,
    struct scalar *out, struct problems *problems)
{
	char quoted[PROBLEM_QUOTE_SIZE], range[SCALAR_RANGE_SIZE];
	bool is_signed;
	const char *text;

	if (btf_is_any_enum(t))
		return encode_enum(btf, t, width, value, path, out, problems);
	if (btf_int_encoding(t) & BTF_INT_BOOL)
		return encode_bool(value, path, out, problems);
	is_signed = (btf_int_encoding(t) & BTF_INT_SIGNED) != 0;
	if (scalar_from_json(value, out) == 0 &&
	    scalar_fits(out, width, is_signed))
		return 0;
	/* A single letter, as C writes 'A'. */
	if (btf_type_is_char(btf, t) && width == 8 &&
	    json_object_is_type(value, json_type_string)) {
		text = json_object_get_string(value);
		if (text[0] != '\0' && text[1] == '\0') {
			*out = (struct scalar){ (uint8_t)text[0], false };
			return 0;
		}
	}
	scalar_range(width, is_signed, range);
	problem_add(problems, "parameter %s: %s: wanted %s%s", path,
	    problem_quote(value, quoted), range,
	    width == 32 ? " or an IPv4 address" : "");
	return -EINVAL;
}

static bool
is_big_endian(enum byte_order order)
{
	if (order == ORDER_HOST)
		return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
	return order == ORDER_BIG;
}

void
scalar_store(
    const struct scalar *n, uint8_t *out, size_t len, enum byte_order order)
{
	uint8_t byte;
	size_t i;

	for (i = 0; i < len; i++) {
		if (i < 8)
			byte = (uint8_t)(n->bits >> (8 * i));
		else
			byte = n->negative ? 0xff : 0;
		out[is_big_endian(order) ? len - 1 - i : i] = byte;
	}
}

void
scalar_store_bits(const struct scalar *n, uint8_t *out, uint32_t bit_offset,
    unsigned int width)
{
	bool big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
	unsigned int i;
	uint32_t at;
	uint8_t mask;

	for (i = 0; i < width && i < 64; i++) {
		/* Big-endian machines count a field's bits from the top. */
		at = bit_offset + (big ? width - 1 - i : i);
		mask = (uint8_t)(1u << (big ? 7 - at % 8 : at % 8));
		if (n->bits >> i & 1)
			out[at / 8] |= mask;
		else
			out[at / 8] &= (uint8_t)~mask;
	}
}
