/* SPDX-License-Identifier: ISC */
#include "verifyd/btf_encode.h"

#include <string.h>

#include "verifyd/address.h"
#include "verifyd/btf_scalar.h"
#include "verifyd/btf_type.h"

struct encoder {
	const struct btf *btf;
	struct problems *problems;
};

static void encode(const struct encoder *e, uint32_t type_id,
    struct json_object *value, uint8_t *out, size_t len, const char *path);

static void _printf_(4, 5) refuse(const struct encoder *e, const char *path,
    struct json_object *value, const char *fmt, ...)
{
	char quoted[PROBLEM_QUOTE_SIZE], wanted[400];
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(wanted, sizeof(wanted), fmt, ap) < 0)
		wanted[0] = '\0';
	va_end(ap);
	problem_add(e->problems, "parameter %s: %s: %s", path,
	    problem_quote(value, quoted), wanted);
}

/* The text of a JSON string, NULL for any other value. */
static const char *
string_of(struct json_object *value)
{
	if (!json_object_is_type(value, json_type_string))
		return NULL;
	return json_object_get_string(value);
}

/* TEXT into the LEN bytes at OUT if it is an address of that length. */
static bool
encode_address(const char *text, uint8_t *out, size_t len)
{
	uint8_t bytes[16];

	if (text == NULL || (len != 4 && len != 6 && len != 16) ||
	    address_len(address_parse(text, bytes)) != len)
		return false;
	memcpy(out, bytes, len);
	return true;
}

static void
encode_text(const struct encoder *e, struct json_object *value, uint8_t *out,
    size_t len, const char *path)
{
	const char *text = json_object_get_string(value);
	size_t n = strlen(text);

	/* Programs read such arrays as C strings. */
	if (n >= len)
		refuse(e, path, value, "%zu bytes of text, wanted at most %zu",
		    n, len - 1);
	else
		memcpy(out, text, n);
}

static void
encode_bytes(const struct encoder *e, struct json_object *value, uint8_t *out,
    size_t len, const char *path)
{
	const char *text = json_object_get_string(value);
	enum address_kind kind;
	uint8_t address[16];
	size_t have = 0;
	int r;

	r = address_parse_bytes(text, out, len, &have);
	if (r == 0)
		return;
	kind = address_parse(text, address);
	if (kind != ADDRESS_NONE)
		refuse(e, path, value,
		    "%s address has %zu bytes, wanted %zu bytes",
		    address_kind_name(kind), address_len(kind), len);
	else if (r == -ERANGE)
		refuse(e, path, value,
		    "%zu bytes, wanted %zu hexadecimal digits (%zu bytes)",
		    have, 2 * len, len);
	else
		refuse(e, path, value,
		    "wanted %zu hexadecimal digits (%zu bytes)%s", 2 * len, len,
		    len == 4        ? " or an IPv4 address"
			: len == 16 ? " or an IPv6 address"
			: len == 6  ? " or a MAC address"
				    : "");
}

static void
encode_array(const struct encoder *e, const struct btf_type *t,
    struct json_object *value, uint8_t *out, size_t len, const char *path)
{
	const struct btf_array *a = btf_array(t);
	const struct btf_type *elem = btf_type_resolve(e->btf, a->type).t;
	int64_t elem_size = btf__resolve_size(e->btf, a->type);
	char at[BTF_PATH_SIZE];
	size_t i, n;

	if (elem == NULL || elem_size <= 0 || a->nelems == 0 ||
	    (size_t)elem_size > len / a->nelems) {
		refuse(e, path, value, "an array without a size cannot be set");
		return;
	}
	if (string_of(value) != NULL) {
		if (btf_type_is_char(e->btf, elem))
			encode_text(e, value, out, len, path);
		else if (!encode_address(string_of(value), out, len)) {
			if (btf_is_int(elem) && elem->size == 1)
				encode_bytes(e, value, out, len, path);
			else
				refuse(e, path, value,
				    "wanted a list of up to %u values",
				    a->nelems);
		}
		return;
	}
	if (!json_object_is_type(value, json_type_array)) {
		refuse(e, path, value, "wanted a list of up to %u values%s",
		    a->nelems,
		    btf_type_is_char(e->btf, elem) ? " or a string" : "");
		return;
	}
	n = json_object_array_length(value);
	if (n > a->nelems) {
		refuse(e, path, value, "%zu values, wanted at most %u", n,
		    a->nelems);
		return;
	}
	for (i = 0; i < n; i++) {
		(void)snprintf(at, sizeof(at), "%s[%zu]", path, i);
		encode(e, a->type, json_object_array_get_idx(value, i),
		    out + i * (size_t)elem_size, (size_t)elem_size, at);
	}
}

/* Mark WIDTH bits from BIT on as written; false if one was already. */
static bool
claim_bits(uint8_t *claimed, uint32_t bit, size_t width)
{
	bool is_free = true;
	uint8_t mask;
	size_t i;

	for (i = bit; i < bit + width; i++) {
		mask = (uint8_t)(1u << i % 8);
		if (claimed[i / 8] & mask)
			is_free = false;
		claimed[i / 8] |= mask;
	}
	return is_free;
}

/* One member KEY of a struct or union of LEN bytes. */
static void
encode_member(const struct encoder *e, const struct btf_type *t,
    const char *key, struct json_object *value, uint8_t *out, size_t len,
    uint8_t *claimed, const char *path)
{
	struct btf_member_place m;
	struct btf_resolved field;
	struct scalar n;
	char known[240];
	int64_t size;
	size_t width;

	if (btf_type_find_member(e->btf, t, key, &m) < 0) {
		btf_type_member_names(e->btf, t, known, sizeof(known));
		problem_add(e->problems,
		    "parameter %s: no such member, there are: %s", path, known);
		return;
	}
	field = btf_type_resolve(e->btf, m.type_id);
	size = btf__resolve_size(e->btf, m.type_id);
	width = m.bits != 0 ? m.bits : size > 0 ? (size_t)size * 8 : 0;
	if (field.t == NULL || width == 0 || m.bit_offset / 8 > len ||
	    width > (len - m.bit_offset / 8) * 8 - m.bit_offset % 8 ||
	    (m.bits == 0 && m.bit_offset % 8 != 0) || m.bits > 64) {
		refuse(e, path, value, "a member of this type cannot be set");
		return;
	}
	if (!claim_bits(claimed, m.bit_offset, width)) {
		refuse(e, path, value,
		    "shares its bytes with another member given here (a "
		    "union): give one of them");
		return;
	}
	if (m.bits == 0) {
		encode(e, m.type_id, value, out + m.bit_offset / 8,
		    (size_t)size, path);
		return;
	}
	if (!btf_is_int(field.t) && !btf_is_any_enum(field.t))
		refuse(e, path, value,
		    "a bit-field of this type cannot be "
		    "set");
	else if (scalar_encode(e->btf, field.t, m.bits, value, path, &n,
		     e->problems) == 0)
		scalar_store_bits(&n, out, m.bit_offset, m.bits);
}

static void
encode_composite(const struct encoder *e, const struct btf_type *t,
    struct json_object *value, uint8_t *out, size_t len, const char *path)
{
	_cleanup_free_ uint8_t *claimed = NULL;
	char at[BTF_PATH_SIZE], known[240];
	const struct btf_member *only = btf_members(t);

	if (encode_address(string_of(value), out, len))
		return;
	/* What wraps a single value takes what that value takes. */
	if (string_of(value) != NULL && btf_vlen(t) == 1 &&
	    btf_member_bitfield_size(t, 0) == 0 &&
	    btf_member_bit_offset(t, 0) == 0 &&
	    btf__resolve_size(e->btf, only->type) == (int64_t)len) {
		encode(e, only->type, value, out, len, path);
		return;
	}
	if (!json_object_is_type(value, json_type_object)) {
		btf_type_member_names(e->btf, t, known, sizeof(known));
		refuse(e, path, value, "wanted an object with %s: %s",
		    btf_is_union(t) ? "one of the members" : "the members",
		    known);
		return;
	}
	claimed = calloc(1, len + 1);
	if (claimed == NULL) {
		problem_add(e->problems, "parameter %s: out of memory", path);
		return;
	}
	json_object_object_foreach(value, key, member)
	{
		(void)snprintf(at, sizeof(at), "%s.%s", path, key);
		encode_member(e, t, key, member, out, len, claimed, at);
	}
}

static const char *
kind_words(const struct btf_type *t)
{
	if (btf_is_ptr(t))
		return "a pointer";
	if (btf_is_float(t))
		return "a floating-point number";
	if (btf_is_fwd(t))
		return "a type that is only declared";
	return "a value of this type";
}

static void
encode(const struct encoder *e, uint32_t type_id, struct json_object *value,
    uint8_t *out, size_t len, const char *path)
{
	struct btf_resolved type = btf_type_resolve(e->btf, type_id);
	struct scalar n;

	if (type.t == NULL ||
	    btf__resolve_size(e->btf, type_id) != (int64_t)len) {
		refuse(e, path, value, "its type in the object is damaged");
		return;
	}
	if (btf_is_array(type.t)) {
		encode_array(e, type.t, value, out, len, path);
	} else if (btf_is_composite(type.t)) {
		encode_composite(e, type.t, value, out, len, path);
	} else if (btf_is_int(type.t) || btf_is_any_enum(type.t)) {
		if (btf_is_int(type.t) &&
		    encode_address(string_of(value), out, len))
			return;
		if (scalar_encode(e->btf, type.t, (unsigned int)len * 8, value,
			path, &n, e->problems) == 0)
			scalar_store(&n, out, len, type.order);
	} else {
		refuse(e, path, value, "%s cannot be set", kind_words(type.t));
	}
}

int
btf_encode(const struct btf *btf, uint32_t type_id, struct json_object *value,
    void *out, size_t len, const char *path, struct problems *problems)
{
	const struct encoder e = { btf, problems };
	unsigned int before = problems->count;

	memset(out, 0, len);
	encode(&e, type_id, value, out, len, path);
	return problems->count == before ? 0 : -EINVAL;
}

int
btf_encode_untyped(struct json_object *value, void *out, size_t len,
    const char *path, struct problems *problems)
{
	const struct encoder e = { NULL, problems };
	unsigned int before = problems->count;
	char range[SCALAR_RANGE_SIZE];
	bool is_number = len == 1 || len == 2 || len == 4 || len == 8;
	struct scalar n;

	memset(out, 0, len);
	if (encode_address(string_of(value), out, len))
		return 0;
	if (is_number && scalar_from_json(value, &n) == 0 &&
	    (scalar_fits(&n, (unsigned int)len * 8, false) ||
		scalar_fits(&n, (unsigned int)len * 8, true))) {
		scalar_store(&n, out, len, ORDER_HOST);
		return 0;
	}
	if (is_number) {
		scalar_range((unsigned int)len * 8, false, range);
		refuse(&e, path, value, "wanted %s", range);
	} else if (string_of(value) != NULL) {
		encode_bytes(&e, value, out, len, path);
	} else {
		refuse(&e, path, value,
		    "the map has no BTF: wanted %zu hexadecimal digits",
		    2 * len);
	}
	return problems->count == before ? 0 : -EINVAL;
}
