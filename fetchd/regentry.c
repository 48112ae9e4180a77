/* SPDX-License-Identifier: ISC */
#include "fetchd/regentry.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <string.h>

#include "common/jsonscan.h"
#include "common/strnum.h"
#include "fetchd/reglist.h"

/* Entry, parameters, map contents, struct members: 32 is plenty. */
#define ENTRY_DEPTH  32
#define ENTRY_VALUES 131072

struct reader {
	struct json_object *json;
	struct json_object *metadata; /* borrowed; NULL: none */
	char *error;
	size_t size;
};

static int _printf_(2, 3) refuse(struct reader *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(r->error, r->size, fmt, ap);
	va_end(ap);
	str_scrub(r->error, r->size);
	return -EINVAL;
}

static void
free_tokener(struct json_tokener **tokener)
{
	if (*tokener != NULL)
		json_tokener_free(*tokener);
}

struct json_object *
regentry_json(const char *text, size_t len, char *error, size_t size)
{
	static const struct jsonscan_limits limits = { ENTRY_DEPTH,
		ENTRY_VALUES };
	_cleanup_(free_tokener) struct json_tokener *tokener = NULL;
	char why[JSONSCAN_ERROR_SIZE];
	struct json_object *json;

	if (len > REGLIST_ENTRY_MAX) {
		(void)snprintf(error, size,
		    "%zu bytes long, at most %u are "
		    "allowed",
		    len, REGLIST_ENTRY_MAX);
		return NULL;
	}
	if (jsonscan_check(text, len, &limits, why) < 0) {
		(void)snprintf(error, size, "%s", why);
		return NULL;
	}
	tokener = json_tokener_new_ex(ENTRY_DEPTH + 2);
	if (tokener == NULL) {
		(void)snprintf(error, size, "out of memory");
		return NULL;
	}
	json_tokener_set_flags(
	    tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	json = json_tokener_parse_ex(tokener, text, (int)len);
	/* A bare number is complete only when something follows it. */
	if (json == NULL &&
	    json_tokener_get_error(tokener) == json_tokener_continue)
		json = json_tokener_parse_ex(tokener, "", 1);
	if (json != NULL)
		return json;
	if (json_tokener_get_error(tokener) == json_tokener_success)
		(void)snprintf(error, size, "null where a value is wanted");
	else
		(void)snprintf(error, size, "not usable: %s",
		    json_tokener_error_desc(json_tokener_get_error(tokener)));
	return NULL;
}

/* A member that is neither absent nor null, else NULL. */
static struct json_object *
member(struct json_object *json, const char *name)
{
	struct json_object *value;

	if (json == NULL || !json_object_object_get_ex(json, name, &value))
		return NULL;
	return value;
}

/* An optional string; absent, null and "" are the same.  Identifier if ID. */
static int
read_string(struct reader *r, struct json_object *value, const char *name,
    char *out, size_t size, bool id)
{
	const char *s;

	memset(out, 0, size);
	if (value == NULL)
		return 0;
	if (!json_object_is_type(value, json_type_string))
		return refuse(r, "%s: a string is wanted", name);
	s = json_object_get_string(value);
	if (str_copy(out, size, s) < 0)
		return refuse(r, "%s: %d bytes long, at most %zu are allowed",
		    name, json_object_get_string_len(value), size - 1);
	if (out[0] == '\0')
		return 0;
	if (id ? str_is_identifier(out, size) : str_is_text(out, size))
		return 0;
	memset(out, 0, size);
	return refuse(r, "%s: \"%.100s\": %s", name, s,
	    id ? "letters, digits and . _ : @ + - are allowed, and no . or - "
		 "in front"
	       : "text without control characters is wanted");
}

static int
read_required(struct reader *r, const char *name, char *out, size_t size)
{
	int e = read_string(r, member(r->json, name), name, out, size, true);

	if (e < 0)
		return e;
	return out[0] != '\0' ? 0 : refuse(r, "%s: missing", name);
}

static int
read_id(struct reader *r, struct artlist_entry *entry)
{
	const char *name =
	    member(r->json, "artifact_id") != NULL ? "artifact_id" : "id";

	return read_required(
	    r, name, entry->artifact_id, sizeof(entry->artifact_id));
}

static int
read_checksum(struct reader *r, struct artlist_entry *entry)
{
	char text[8 + 2 * AEGIS_SHA256_SIZE];
	const char *hex = text;
	int e;

	e = read_string(r, member(r->json, "checksum"), "checksum", text,
	    sizeof(text), true);
	if (e < 0 || text[0] == '\0')
		return e;
	if (strncmp(text, "sha256:", 7) == 0)
		hex += 7;
	if (strnum_parse_hex(hex, entry->sha256, sizeof(entry->sha256)) < 0)
		return refuse(r,
		    "checksum: \"%s\": 64 hexadecimal digits are wanted, "
		    "perhaps with sha256: in front",
		    text);
	entry->has_sha256 = 1;
	return 0;
}

static int
read_size(struct reader *r, struct artlist_entry *entry)
{
	struct json_object *value = member(r->json, "size");

	if (value == NULL)
		return 0;
	if (!json_object_is_type(value, json_type_int) ||
	    json_object_get_int64(value) < 0)
		return refuse(r, "size: %.60s: a number of bytes is wanted",
		    json_object_to_json_string_ext(
			value, JSON_C_TO_STRING_PLAIN));
	entry->size = json_object_get_uint64(value);
	return 0;
}

static int
read_ttl(struct reader *r, struct artlist_entry *entry)
{
	struct json_object *value = member(r->json, "ttl_sec");
	int64_t ttl = 0;
	int e = 0;

	entry->ttl_sec = -1;
	if (value == NULL) {
		value = member(r->metadata, "ttl_sec");
		if (value == NULL)
			return 0;
	}
	if (json_object_is_type(value, json_type_string) &&
	    member(r->json, "ttl_sec") == NULL)
		e = strnum_parse_i64(json_object_get_string(value), 1,
		    REGLIST_TTL_MAX_SEC, &ttl);
	else if (json_object_is_type(value, json_type_int))
		ttl = json_object_get_int64(value);
	else
		e = -EINVAL;
	if (e < 0 || ttl < 1 || ttl > REGLIST_TTL_MAX_SEC)
		return refuse(r,
		    "ttl_sec: %.60s: whole seconds from 1 to %" PRId64
		    " (ten years) or null are wanted",
		    json_object_to_json_string_ext(
			value, JSON_C_TO_STRING_PLAIN),
		    REGLIST_TTL_MAX_SEC);
	entry->ttl_sec = ttl;
	return 0;
}

/* ">= 5.15" says what "5.15" says: it is a minimum. */
static int
read_kernel_version(struct reader *r, struct artlist_entry *entry)
{
	char text[sizeof(entry->kernel_version) + 4];
	const char *s = text;
	int e;

	e = read_string(r, member(r->json, "kernel_version"), "kernel_version",
	    text, sizeof(text), false);
	if (e < 0)
		return e;
	if (strncmp(s, ">=", 2) == 0)
		s += 2;
	s += strspn(s, " ");
	if (str_copy(entry->kernel_version, sizeof(entry->kernel_version), s) <
		0 ||
	    (*s != '\0' &&
		!str_is_identifier(
		    entry->kernel_version, sizeof(entry->kernel_version))))
		return refuse(r,
		    "kernel_version: \"%s\": a version such as 5.15 is wanted",
		    text);
	return 0;
}

static int
take_parameters(struct reader *r, struct json_object *value, char **out)
{
	const char *text;
	size_t len;

	if (!json_object_is_type(value, json_type_object))
		return refuse(r, "parameters: an object is wanted");
	text = json_object_to_json_string_length(value,
	    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	if (text == NULL)
		return refuse(r, "parameters: out of memory");
	if (len > AEGIS_PARAMETERS_MAX)
		return refuse(r,
		    "parameters: %zu bytes long, at most %u are allowed", len,
		    AEGIS_PARAMETERS_MAX);
	*out = strdup(text);
	return *out != NULL ? 0 : refuse(r, "parameters: out of memory");
}

static int
read_parameters(struct reader *r, char **out)
{
	struct json_object *value = member(r->json, "parameters"), *inner;
	char error[160];
	int e;

	*out = NULL;
	if (value != NULL)
		return take_parameters(r, value, out);
	/* The AegisFlux registry keeps them as a string in "metadata". */
	value = member(r->metadata, "parameters");
	if (value == NULL)
		return 0;
	if (json_object_is_type(value, json_type_object))
		return take_parameters(r, value, out);
	if (!json_object_is_type(value, json_type_string))
		return refuse(r,
		    "metadata.parameters: an object or a string that holds "
		    "one is wanted");
	if (json_object_get_string_len(value) == 0)
		return 0;
	inner = regentry_json(json_object_get_string(value),
	    (size_t)json_object_get_string_len(value), error, sizeof(error));
	if (inner == NULL)
		return refuse(r, "metadata.parameters: %s", error);
	e = take_parameters(r, inner, out);
	(void)json_object_put(inner);
	return e;
}

static int
read_replaces(struct reader *r, struct artlist_entry *entry)
{
	struct json_object *value = member(r->json, "replaces");

	if (value == NULL)
		value = member(r->metadata, "replaces");
	return read_string(r, value, "replaces", entry->replaces,
	    sizeof(entry->replaces), true);
}

int
regentry_read(struct json_object *json, struct artlist_entry *entry,
    char **parameters, char *error, size_t size)
{
	struct reader r = { .json = json, .error = error, .size = size };
	int e;

	memset(entry, 0, sizeof(*entry));
	*parameters = NULL;
	if (!json_object_is_type(json, json_type_object))
		return refuse(&r, "an object is wanted");
	r.metadata = member(json, "metadata");
	if (r.metadata != NULL &&
	    !json_object_is_type(r.metadata, json_type_object))
		r.metadata = NULL;
	e = read_id(&r, entry);
	if (e == 0)
		e = read_required(&r, "name", entry->name, sizeof(entry->name));
	if (e == 0)
		e = read_required(
		    &r, "version", entry->version, sizeof(entry->version));
	if (e == 0)
		e = read_string(&r, member(json, "architecture"),
		    "architecture", entry->architecture,
		    sizeof(entry->architecture), true);
	if (e == 0)
		e = read_string(&r, member(json, "signature"), "signature",
		    entry->signature, sizeof(entry->signature), false);
	if (e == 0)
		e = read_kernel_version(&r, entry);
	if (e == 0)
		e = read_replaces(&r, entry);
	if (e == 0)
		e = read_checksum(&r, entry);
	if (e == 0)
		e = read_size(&r, entry);
	if (e == 0)
		e = read_ttl(&r, entry);
	if (e == 0)
		e = read_parameters(&r, parameters);
	return e;
}
