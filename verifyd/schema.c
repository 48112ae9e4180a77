/* SPDX-License-Identifier: ISC */
#include "verifyd/schema.h"

#include <regex.h>
#include <string.h>

#include "verifyd/btf_scalar.h"

#define PATTERN_MAX_LEN 256
#define SUBJECT_MAX_LEN 1024

struct rule {
	const char *key;
	struct json_object *value;
	struct json_object *signed_value;
	struct problems *problems;
};

/* A < B for whole numbers of either sign. */
static bool
is_less(const struct scalar *a, const struct scalar *b)
{
	if (a->negative != b->negative)
		return a->negative;
	return a->bits < b->bits;
}

static void
check_bound(const struct rule *r, struct json_object *value,
    struct json_object *bound, bool is_min)
{
	char quoted[PROBLEM_QUOTE_SIZE], limit[PROBLEM_QUOTE_SIZE];
	struct scalar v, b;
	size_t i;

	if (json_object_is_type(value, json_type_array)) {
		for (i = 0; i < json_object_array_length(value); i++)
			check_bound(r, json_object_array_get_idx(value, i),
			    bound, is_min);
		return;
	}
	if (scalar_from_json(bound, &b) < 0) {
		problem_add(r->problems,
		    "parameters_schema.%s: %s must be a whole number, is %s",
		    r->key, is_min ? "min" : "max",
		    problem_quote(bound, limit));
		return;
	}
	if (scalar_from_json(value, &v) < 0 ||
	    (is_min ? is_less(&v, &b) : is_less(&b, &v)))
		problem_add(r->problems,
		    "parameter %s: %s: parameters_schema wants a whole number "
		    "of at %s %s",
		    r->key, problem_quote(value, quoted),
		    is_min ? "least" : "most", problem_quote(bound, limit));
}

static void
check_min(const struct rule *r, struct json_object *bound)
{
	check_bound(r, r->value, bound, true);
}

static void
check_max(const struct rule *r, struct json_object *bound)
{
	check_bound(r, r->value, bound, false);
}

static void
check_enum_value(
    const struct rule *r, struct json_object *value, struct json_object *list)
{
	char quoted[PROBLEM_QUOTE_SIZE], allowed[PROBLEM_QUOTE_SIZE];
	size_t i;

	for (i = 0; i < json_object_array_length(list); i++)
		if (json_object_equal(
			value, json_object_array_get_idx(list, i)))
			return;
	problem_add(r->problems,
	    "parameter %s: %s: parameters_schema allows one of %s", r->key,
	    problem_quote(value, quoted), problem_quote(list, allowed));
}

static void
check_enum(const struct rule *r, struct json_object *list)
{
	char quoted[PROBLEM_QUOTE_SIZE];
	size_t i;

	if (!json_object_is_type(list, json_type_array)) {
		problem_add(r->problems,
		    "parameters_schema.%s: enum must be an array, is %s",
		    r->key, problem_quote(list, quoted));
		return;
	}
	if (!json_object_is_type(r->value, json_type_array)) {
		check_enum_value(r, r->value, list);
		return;
	}
	for (i = 0; i < json_object_array_length(r->value); i++)
		check_enum_value(
		    r, json_object_array_get_idx(r->value, i), list);
}

static void
match(const struct rule *r, struct json_object *value, const regex_t *re,
    const char *pattern)
{
	char quoted[PROBLEM_QUOTE_SIZE];
	const char *text;
	size_t i;

	if (json_object_is_type(value, json_type_array)) {
		for (i = 0; i < json_object_array_length(value); i++)
			match(r, json_object_array_get_idx(value, i), re,
			    pattern);
		return;
	}
	if (json_object_is_type(value, json_type_string)) {
		text = json_object_get_string(value);
		if (strlen(text) <= SUBJECT_MAX_LEN &&
		    regexec(re, text, 0, NULL, 0) == 0)
			return;
	}
	problem_add(r->problems,
	    "parameter %s: %s: parameters_schema wants a string that matches "
	    "%s",
	    r->key, problem_quote(value, quoted), pattern);
}

/* A back-reference makes matching exponential. */
static bool
has_back_reference(const char *pattern)
{
	for (; *pattern != '\0'; pattern++) {
		if (*pattern != '\\')
			continue;
		pattern++;
		if (*pattern >= '1' && *pattern <= '9')
			return true;
		if (*pattern == '\0')
			break;
	}
	return false;
}

static void
check_pattern(const struct rule *r, struct json_object *rule)
{
	char quoted[PROBLEM_QUOTE_SIZE];
	const char *pattern;
	regex_t re;

	pattern = json_object_is_type(rule, json_type_string)
	    ? json_object_get_string(rule)
	    : NULL;
	if (pattern == NULL || strlen(pattern) > PATTERN_MAX_LEN ||
	    has_back_reference(pattern) ||
	    regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
		problem_add(r->problems,
		    "parameters_schema.%s: pattern must be a POSIX extended "
		    "regular expression of at most %d characters, without "
		    "back-references, is %s",
		    r->key, PATTERN_MAX_LEN, problem_quote(rule, quoted));
		return;
	}
	match(r, r->value, &re, pattern);
	regfree(&re);
}

/* true: what was signed stands; any other value: that value stands. */
static void
check_fixed(const struct rule *r, struct json_object *rule)
{
	char quoted[PROBLEM_QUOTE_SIZE], wanted[PROBLEM_QUOTE_SIZE];
	struct json_object *fixed = rule;

	if (json_object_is_type(rule, json_type_boolean)) {
		if (!json_object_get_boolean(rule))
			return;
		fixed = r->signed_value;
	}
	if (!json_object_equal(fixed, r->value))
		problem_add(r->problems,
		    "parameter %s: %s: parameters_schema fixes it to %s",
		    r->key, problem_quote(r->value, quoted),
		    problem_quote(fixed, wanted));
}

void
schema_check(struct json_object *schema, const char *key,
    struct json_object *value, struct json_object *signed_value,
    struct problems *problems)
{
	static const struct {
		const char *word;
		void (*check)(const struct rule *, struct json_object *);
	} words[] = {
		{ "min", check_min },
		{ "max", check_max },
		{ "enum", check_enum },
		{ "pattern", check_pattern },
		{ "fixed", check_fixed },
		{ "description", NULL },
	};
	const struct rule r = { key, value, signed_value, problems };
	struct json_object *rule;
	size_t i;

	if (!json_object_object_get_ex(schema, key, &rule))
		return;
	if (!json_object_is_type(rule, json_type_object)) {
		problem_add(
		    problems, "parameters_schema.%s: must be an object", key);
		return;
	}
	json_object_object_foreach(rule, word, argument)
	{
		for (i = 0; i < nitems(words); i++)
			if (strcmp(word, words[i].word) == 0)
				break;
		if (i == nitems(words))
			problem_add(problems,
			    "parameters_schema.%s: unknown word \"%.40s\" "
			    "(min max enum pattern fixed description)",
			    key, word);
		else if (words[i].check != NULL)
			words[i].check(&r, argument);
	}
}
