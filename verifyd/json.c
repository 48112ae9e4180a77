/* SPDX-License-Identifier: ISC */
#include "verifyd/json.h"

#include <limits.h>
#include <string.h>

#include "common/jsonscan.h"

#define JSON_DEPTH  32
#define JSON_VALUES (1u << 18)

static void
tokener_freep(struct json_tokener **tok)
{
	if (*tok != NULL)
		json_tokener_free(*tok);
}

struct json_object *
json_parse(
    const char *text, size_t len, const char *what, struct problems *problems)
{
	_cleanup_(tokener_freep) struct json_tokener *tok = NULL;
	const struct jsonscan_limits limits = { JSON_DEPTH, JSON_VALUES };
	char error[JSONSCAN_ERROR_SIZE];
	struct json_object *obj;

	if (len > INT_MAX || jsonscan_check(text, len, &limits, error) < 0) {
		problem_add(problems, "%s: %s", what,
		    len > INT_MAX ? "too long" : error);
		return NULL;
	}
	tok = json_tokener_new_ex(JSON_DEPTH + 1);
	if (tok == NULL) {
		problem_add(problems, "%s: out of memory", what);
		return NULL;
	}
	obj = json_tokener_parse_ex(tok, text, (int)len);
	if (obj == NULL || !json_object_is_type(obj, json_type_object)) {
		(void)json_object_put(obj);
		problem_add(problems, "%s: not a JSON object", what);
		return NULL;
	}
	return obj;
}

static const char *
type_word(json_type type)
{
	switch (type) {
	case json_type_string:
		return "a string";
	case json_type_object:
		return "an object";
	case json_type_array:
		return "an array";
	case json_type_boolean:
		return "true or false";
	default:
		return "a number";
	}
}

struct json_object *
json_member(struct json_object *obj, const char *key, json_type type,
    const char *where, struct problems *problems)
{
	char quoted[PROBLEM_QUOTE_SIZE];
	struct json_object *value;

	if (!json_object_object_get_ex(obj, key, &value) || value == NULL)
		return NULL;
	if (json_object_is_type(value, type))
		return value;
	problem_add(problems, "%s: %s must be %s, is %s", where, key,
	    type_word(type), problem_quote(value, quoted));
	return NULL;
}

const char *
json_member_string(struct json_object *obj, const char *key, const char *where,
    struct problems *problems)
{
	struct json_object *value =
	    json_member(obj, key, json_type_string, where, problems);

	return value != NULL ? json_object_get_string(value) : NULL;
}

bool
json_is_negative(struct json_object *n)
{
	return json_object_get_int64(n) < 0;
}

void
json_member_u64(struct json_object *obj, const char *key, uint64_t min,
    uint64_t max, const char *where, uint64_t *out, struct problems *problems)
{
	char quoted[PROBLEM_QUOTE_SIZE];
	struct json_object *value;
	uint64_t n;

	if (!json_object_object_get_ex(obj, key, &value) || value == NULL)
		return;
	n = json_object_get_uint64(value);
	if (json_object_is_type(value, json_type_int) &&
	    !json_is_negative(value) && n >= min && n <= max) {
		*out = n;
		return;
	}
	problem_add(problems,
	    "%s: %s must be a whole number from %llu to %llu, is %s", where,
	    key, (unsigned long long)min, (unsigned long long)max,
	    problem_quote(value, quoted));
}

void
json_member_double(struct json_object *obj, const char *key, const char *where,
    double *out, struct problems *problems)
{
	char quoted[PROBLEM_QUOTE_SIZE];
	struct json_object *value;
	double n;

	if (!json_object_object_get_ex(obj, key, &value) || value == NULL)
		return;
	n = json_object_get_double(value);
	if ((json_object_is_type(value, json_type_int) ||
		json_object_is_type(value, json_type_double)) &&
	    n >= 0) {
		*out = n;
		return;
	}
	problem_add(problems, "%s: %s must be a number, at least 0, is %s",
	    where, key, problem_quote(value, quoted));
}
