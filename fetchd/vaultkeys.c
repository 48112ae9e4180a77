/* SPDX-License-Identifier: ISC */
#include "fetchd/vaultkeys.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "common/jsonscan.h"
#include "common/strnum.h"

#define DEPTH 16

struct reader {
	struct keyset_key *keys; /* room for all versions that came */
	uint32_t count;
	uint32_t min_version;
	char *error;
};

static int _printf_(2, 3) refuse(struct reader *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(r->error, VAULTKEYS_ERROR_SIZE, fmt, ap);
	va_end(ap);
	str_scrub(r->error, VAULTKEYS_ERROR_SIZE);
	return -EBADMSG;
}

static void
free_tokener(struct json_tokener **tokener)
{
	if (*tokener != NULL)
		json_tokener_free(*tokener);
}

static void
free_json(struct json_object **json)
{
	(void)json_object_put(*json);
}

static struct json_object *
member(struct json_object *json, const char *name, enum json_type type)
{
	struct json_object *value;

	if (!json_object_is_type(json, json_type_object) ||
	    !json_object_object_get_ex(json, name, &value) ||
	    !json_object_is_type(value, type))
		return NULL;
	return value;
}

static int
add_key(struct reader *r, uint32_t version, struct json_object *text)
{
	struct keyset_key *key = &r->keys[r->count];
	int len = json_object_get_string_len(text);
	const char *s = json_object_get_string(text);
	int i;

	if (len == 0)
		return refuse(r, "version %u: public_key is empty", version);
	if ((size_t)len >= sizeof(key->text))
		return refuse(r,
		    "version %u: public_key of %d bytes, at most %zu are "
		    "allowed",
		    version, len, sizeof(key->text) - 1);
	/* PEM or base64: lines of printable ASCII. */
	for (i = 0; i < len; i++)
		if ((s[i] < 0x20 && s[i] != '\n' && s[i] != '\r') ||
		    s[i] >= 0x7f)
			return refuse(r,
			    "version %u: public_key is neither PEM nor base64",
			    version);
	memset(key, 0, sizeof(*key));
	key->version = version;
	key->text_len = (uint32_t)len;
	memcpy(key->text, s, (size_t)len);
	r->count++;
	return 0;
}

static int
add_version(struct reader *r, const char *name, struct json_object *value,
    const char *type)
{
	struct json_object *text;
	uint64_t version;

	/* "1", not "0x1": two spellings of one version must not exist. */
	if (name[0] == '0' ||
	    strnum_parse_u64(name, 1, UINT32_MAX, &version) < 0)
		return refuse(
		    r, "data.keys: \"%.60s\" is no key version", name);
	text = member(value, "public_key", json_type_string);
	if (text == NULL)
		return refuse(r,
		    "version %s has no public_key: the key's type is %.40s; "
		    "ed25519, ecdsa-p256, ecdsa-p384 or rsa is wanted",
		    name, type);
	return add_key(r, (uint32_t)version, text);
}

static int
compare_versions(const void *a, const void *b)
{
	const struct keyset_key *x = a, *y = b;

	return (x->version > y->version) - (x->version < y->version);
}

static int
read_transit(
    struct reader *r, struct json_object *data, struct json_object *keys)
{
	struct json_object *value;
	struct json_object_iterator it, end;
	const char *type = "unknown";
	int n = json_object_object_length(keys), e;

	if (json_object_object_get_ex(data, "type", &value) &&
	    json_object_is_type(value, json_type_string))
		type = json_object_get_string(value);
	if (json_object_object_get_ex(data, "min_decryption_version", &value)) {
		if (!json_object_is_type(value, json_type_int) ||
		    json_object_get_int64(value) < 0 ||
		    json_object_get_int64(value) > UINT32_MAX)
			return refuse(r,
			    "data.min_decryption_version: a version is wanted");
		r->min_version = (uint32_t)json_object_get_int64(value);
	}
	r->keys = calloc((size_t)n + 1, sizeof(*r->keys));
	if (r->keys == NULL)
		return -ENOMEM;
	end = json_object_iter_end(keys);
	for (it = json_object_iter_begin(keys);
	     !json_object_iter_equal(&it, &end); json_object_iter_next(&it)) {
		e = add_version(r, json_object_iter_peek_name(&it),
		    json_object_iter_peek_value(&it), type);
		if (e < 0)
			return e;
	}
	if (r->count == 0)
		return refuse(r, "data.keys: no version in it");
	qsort(r->keys, r->count, sizeof(*r->keys), compare_versions);
	return 0;
}

static int
read_answer(struct reader *r, struct json_object *json)
{
	struct json_object *data = member(json, "data", json_type_object);
	struct json_object *keys, *inner, *text;

	if (data == NULL)
		return refuse(r, "data: an object is wanted");
	keys = member(data, "keys", json_type_object);
	if (keys != NULL)
		return read_transit(r, data, keys);
	inner = member(data, "data", json_type_object);
	text = member(
	    inner != NULL ? inner : data, "public_key", json_type_string);
	if (text == NULL)
		return refuse(r,
		    "neither a Transit key (data.keys) nor a KV secret with "
		    "public_key");
	r->keys = calloc(1, sizeof(*r->keys));
	if (r->keys == NULL)
		return -ENOMEM;
	return add_key(r, 1, text);
}

static int
make_records(
    const struct reader *r, struct keyset_header **records, size_t *len)
{
	uint32_t count = r->count, skip = 0;
	struct keyset_header *h;

	if (count > KEYSET_KEYS_MAX) {
		skip = count - KEYSET_KEYS_MAX;
		count = KEYSET_KEYS_MAX;
	}
	*len = sizeof(*h) + count * sizeof(*r->keys);
	h = calloc(1, *len);
	if (h == NULL)
		return -ENOMEM;
	h->magic = KEYSET_MAGIC;
	h->version = KEYSET_VERSION;
	h->key_count = count;
	h->min_version = r->min_version;
	memcpy(h + 1, r->keys + skip, count * sizeof(*r->keys));
	*records = h;
	return 0;
}

int
vaultkeys_parse(const char *text, size_t len, struct keyset_header **records,
    size_t *records_len, char *error)
{
	static const struct jsonscan_limits limits = { DEPTH, 16384 };
	_cleanup_(free_tokener) struct json_tokener *tokener = NULL;
	_cleanup_(free_json) struct json_object *json = NULL;
	struct reader r = { .error = error };
	char why[JSONSCAN_ERROR_SIZE];
	int e;

	error[0] = '\0';
	if (len > VAULTKEYS_ANSWER_MAX)
		return refuse(&r, "answer longer than 1 MiB");
	if (jsonscan_check(text, len, &limits, why) < 0)
		return refuse(&r, "malformed answer: %s", why);
	tokener = json_tokener_new_ex(DEPTH + 2);
	if (tokener == NULL)
		return -ENOMEM;
	json_tokener_set_flags(
	    tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	json = json_tokener_parse_ex(tokener, text, (int)len);
	if (json == NULL)
		return refuse(&r, "malformed answer: an object is wanted");
	e = read_answer(&r, json);
	if (e == 0)
		e = make_records(&r, records, records_len);
	free(r.keys);
	return e;
}
