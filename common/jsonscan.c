/* SPDX-License-Identifier: ISC */
#include "common/jsonscan.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "common/strnum.h"

/* Longer than any number that means something. */
#define NUMBER_MAX 64

struct key {
	const char *text; /* decoded, in scan.arena */
	size_t len;
};

struct scan {
	const char *text;
	const char *at;
	const char *end;
	const struct jsonscan_limits *limits;
	unsigned int depth;
	size_t values;
	/* Keys of all objects that are open, outermost first, decoded. */
	struct key *keys;
	size_t key_count;
	size_t key_room;
	char *arena; /* decoded keys are never longer than the text */
	size_t arena_used;
	char *error;
};

static int scan_value(struct scan *s);

static int _printf_(3, 4) fail(struct scan *s, int code, const char *fmt, ...)
{
	va_list ap;
	int n;

	n = snprintf(s->error, JSONSCAN_ERROR_SIZE,
	    "byte %zu: ", (size_t)(s->at - s->text));
	va_start(ap, fmt);
	(void)vsnprintf(s->error + n, JSONSCAN_ERROR_SIZE - (size_t)n, fmt, ap);
	va_end(ap);
	str_scrub(s->error, JSONSCAN_ERROR_SIZE);
	return code;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void
skip_blanks(struct scan *s)
{
	while (s->at < s->end && is_blank(*s->at))
		s->at++;
}

/* ---- strings ---- */

static int
hex4(struct scan *s, uint32_t *code)
{
	int i;

	*code = 0;
	if (s->end - s->at < 4)
		return fail(s, -EBADMSG, "unfinished escape");
	for (i = 0; i < 4; i++) {
		unsigned char c = (unsigned char)s->at[i];

		if (!isxdigit(c))
			return fail(
			    s, -EBADMSG, "\\u wants four hexadecimal digits");
		*code = *code << 4 |
		    (uint32_t)(isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	s->at += 4;
	return 0;
}

static char *
put_utf8(char *out, uint32_t code)
{
	if (code < 0x80) {
		*out++ = (char)code;
	} else if (code < 0x800) {
		*out++ = (char)(0xc0 | code >> 6);
		*out++ = (char)(0x80 | (code & 0x3f));
	} else if (code < 0x10000) {
		*out++ = (char)(0xe0 | code >> 12);
		*out++ = (char)(0x80 | (code >> 6 & 0x3f));
		*out++ = (char)(0x80 | (code & 0x3f));
	} else {
		*out++ = (char)(0xf0 | code >> 18);
		*out++ = (char)(0x80 | (code >> 12 & 0x3f));
		*out++ = (char)(0x80 | (code >> 6 & 0x3f));
		*out++ = (char)(0x80 | (code & 0x3f));
	}
	return out;
}

/* At the 'u' of \uXXXX; reads the second half of a pair too. */
static int
scan_unicode(struct scan *s, uint32_t *code)
{
	uint32_t low;
	int r;

	s->at++;
	r = hex4(s, code);
	if (r < 0)
		return r;
	if (*code == 0)
		return fail(s, -EBADMSG, "NUL in a string");
	if (*code >= 0xdc00 && *code <= 0xdfff)
		return fail(s, -EBADMSG, "lone surrogate");
	if (*code < 0xd800 || *code > 0xdbff)
		return 0;
	if (s->end - s->at < 2 || s->at[0] != '\\' || s->at[1] != 'u')
		return fail(s, -EBADMSG, "lone surrogate");
	s->at += 2;
	r = hex4(s, &low);
	if (r < 0)
		return r;
	if (low < 0xdc00 || low > 0xdfff)
		return fail(s, -EBADMSG, "lone surrogate");
	*code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
	return 0;
}

/* At the character after a backslash. */
static int
scan_escape(struct scan *s, uint32_t *code)
{
	static const char names[] = "\"\\/bfnrt";
	static const char means[] = "\"\\/\b\f\n\r\t";
	const char *p;

	if (s->at == s->end)
		return fail(s, -EBADMSG, "unfinished escape");
	if (*s->at == 'u')
		return scan_unicode(s, code);
	p = *s->at != '\0' ? strchr(names, *s->at) : NULL;
	if (p == NULL)
		return fail(s, -EBADMSG, "unknown escape");
	s->at++;
	*code = (unsigned char)means[p - names];
	return 0;
}

/*
 * At the opening quote.  OUT, if not NULL, receives the decoded bytes, which
 * are at most as many as the text has; *LEN says how many.
 */
static int
scan_string(struct scan *s, char *out, size_t *len)
{
	char *start = out;
	uint32_t code;
	size_t n;
	int r;

	for (s->at++; s->at < s->end && *s->at != '"';) {
		if ((unsigned char)*s->at < 0x20)
			return fail(s, -EBADMSG,
			    "control character 0x%02x in a string",
			    (unsigned int)(unsigned char)*s->at);
		if (*s->at == '\\') {
			s->at++;
			r = scan_escape(s, &code);
			if (r < 0)
				return r;
			if (out != NULL)
				out = put_utf8(out, code);
			continue;
		}
		n = str_utf8_length(
		    (const unsigned char *)s->at, (size_t)(s->end - s->at));
		if (n == 0)
			return fail(s, -EBADMSG, "invalid UTF-8");
		if (out != NULL) {
			memcpy(out, s->at, n);
			out += n;
		}
		s->at += n;
	}
	if (s->at == s->end)
		return fail(s, -EBADMSG, "unfinished string");
	s->at++;
	if (out != NULL)
		*len = (size_t)(out - start);
	return 0;
}

/* ---- numbers and words ---- */

static const char *
skip_digits(const char *p, const char *end)
{
	while (p < end && isdigit((unsigned char)*p))
		p++;
	return p;
}

/* The end of the number at P by RFC 8259's grammar, NULL if it is none. */
static const char *
number_end(const char *p, const char *end, bool *integer)
{
	const char *q;

	*integer = true;
	if (p < end && *p == '-')
		p++;
	q = skip_digits(p, end);
	if (q == p || (*p == '0' && q != p + 1))
		return NULL;
	p = q;
	if (p < end && *p == '.') {
		*integer = false;
		q = skip_digits(p + 1, end);
		if (q == p + 1)
			return NULL;
		p = q;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		*integer = false;
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		q = skip_digits(p, end);
		if (q == p)
			return NULL;
		p = q;
	}
	return p;
}

static int
scan_number(struct scan *s)
{
	char copy[NUMBER_MAX + 1];
	const char *end;
	uint64_t u;
	int64_t i;
	bool integer;
	size_t len;
	int r;

	end = number_end(s->at, s->end, &integer);
	if (end == NULL)
		return fail(s, -EBADMSG, "malformed number");
	len = (size_t)(end - s->at);
	if (len > NUMBER_MAX)
		return fail(s, -EBADMSG, "number of %zu characters", len);
	memcpy(copy, s->at, len);
	copy[len] = '\0';
	if (!integer)
		r = isfinite(strtod(copy, NULL)) ? 0 : -ERANGE;
	else if (copy[0] == '-')
		r = strcmp(copy, "-0") == 0
		    ? 0
		    : strnum_parse_i64(copy, INT64_MIN, INT64_MAX, &i);
	else
		r = strnum_parse_u64(copy, 0, UINT64_MAX, &u);
	if (r < 0)
		return fail(s, -EBADMSG, "number %s is out of range", copy);
	s->at = end;
	return 0;
}

static int
scan_word(struct scan *s)
{
	static const char *const words[] = { "true", "false", "null" };
	size_t i, len;

	for (i = 0; i < nitems(words); i++) {
		len = strlen(words[i]);
		if ((size_t)(s->end - s->at) >= len &&
		    memcmp(s->at, words[i], len) == 0) {
			s->at += len;
			return 0;
		}
	}
	return fail(s, -EBADMSG, "a value was expected");
}

/* ---- objects and arrays ---- */

static int
key_compare(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	size_t n = x->len < y->len ? x->len : y->len;
	int c = memcmp(x->text, y->text, n);

	if (c != 0)
		return c;
	return (x->len > y->len) - (x->len < y->len);
}

/* No two of the innermost object's keys, from BASE on, are the same. */
static int
check_keys(struct scan *s, size_t base)
{
	size_t i, n = s->key_count - base;
	struct key *keys;

	if (n < 2)
		return 0;
	keys = s->keys + base;
	qsort(keys, n, sizeof(*keys), key_compare);
	for (i = 1; i < n; i++)
		if (key_compare(&keys[i - 1], &keys[i]) == 0)
			return fail(s, -EBADMSG,
			    "key \"%.*s\" twice in one object",
			    (int)(keys[i].len < 64 ? keys[i].len : 64),
			    keys[i].text);
	return 0;
}

static int
scan_key(struct scan *s)
{
	struct key *keys;
	size_t room;
	int r;

	if (s->at == s->end || *s->at != '"')
		return fail(s, -EBADMSG, "a key in quotes was expected");
	if (s->key_count == s->key_room) {
		room = s->key_room == 0 ? 64 : 2 * s->key_room;
		keys = reallocarray(s->keys, room, sizeof(*keys));
		if (keys == NULL)
			return fail(s, -ENOMEM, "out of memory");
		s->keys = keys;
		s->key_room = room;
	}
	keys = &s->keys[s->key_count];
	keys->text = s->arena + s->arena_used;
	r = scan_string(s, s->arena + s->arena_used, &keys->len);
	if (r < 0)
		return r;
	s->arena_used += keys->len;
	s->key_count++;
	skip_blanks(s);
	if (s->at == s->end || *s->at != ':')
		return fail(s, -EBADMSG, "':' was expected");
	s->at++;
	return 0;
}

/* Behind the opening bracket, to behind the one that closes it. */
static int
scan_members(struct scan *s, bool object)
{
	const char close = object ? '}' : ']';
	int r;

	skip_blanks(s);
	if (s->at < s->end && *s->at == close) {
		s->at++;
		return 0;
	}
	for (;;) {
		skip_blanks(s);
		if (object) {
			r = scan_key(s);
			if (r < 0)
				return r;
		}
		r = scan_value(s);
		if (r < 0)
			return r;
		skip_blanks(s);
		if (s->at == s->end)
			return fail(s, -EBADMSG, "unfinished %s",
			    object ? "object" : "array");
		if (*s->at == close)
			break;
		if (*s->at != ',')
			return fail(
			    s, -EBADMSG, "',' or '%c' was expected", close);
		s->at++;
	}
	s->at++;
	return 0;
}

static int
scan_container(struct scan *s, bool object)
{
	size_t base = s->key_count, arena = s->arena_used;
	int r;

	if (s->depth == s->limits->depth || s->depth == JSONSCAN_DEPTH_MAX)
		return fail(s, -E2BIG, "nested deeper than %u", s->depth);
	s->depth++;
	s->at++;
	r = scan_members(s, object);
	if (r == 0 && object)
		r = check_keys(s, base);
	s->key_count = base;
	s->arena_used = arena;
	s->depth--;
	return r;
}

static int
scan_value(struct scan *s)
{
	skip_blanks(s);
	if (s->at == s->end)
		return fail(s, -EBADMSG, "a value was expected");
	if (s->values == s->limits->values)
		return fail(s, -E2BIG, "more than %zu values", s->values);
	s->values++;
	switch (*s->at) {
	case '{':
		return scan_container(s, true);
	case '[':
		return scan_container(s, false);
	case '"':
		return scan_string(s, NULL, NULL);
	case '-':
	case '0' ... '9':
		return scan_number(s);
	default:
		return scan_word(s);
	}
}

int
jsonscan_check(const char *text, size_t len,
    const struct jsonscan_limits *limits, char *error)
{
	struct scan s = {
		.text = text,
		.at = text,
		.end = text + len,
		.limits = limits,
		.error = error,
	};
	int r;

	error[0] = '\0';
	s.arena = malloc(len + 1);
	if (s.arena == NULL)
		return fail(&s, -ENOMEM, "out of memory");
	r = scan_value(&s);
	if (r == 0) {
		skip_blanks(&s);
		if (s.at != s.end)
			r = fail(&s, -EBADMSG, "text behind the value");
	}
	free(s.keys);
	free(s.arena);
	return r;
}
