/* SPDX-License-Identifier: ISC */
#include "common/jsonpieces.h"

#include <string.h>

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void
skip_blanks(struct jsonpieces *it)
{
	while (it->at < it->end && is_blank(*it->at))
		it->at++;
}

int
jsonpieces_open(struct jsonpieces *it, const char *text, size_t len)
{
	memset(it, 0, sizeof(*it));
	it->at = text;
	it->end = text + len;
	skip_blanks(it);
	if (it->at == it->end || (*it->at != '[' && *it->at != '{'))
		return -EBADMSG;
	it->object = *it->at == '{';
	it->first = true;
	it->at++;
	return 0;
}

/* Move behind the string at AT. */
static int
skip_string(struct jsonpieces *it)
{
	for (it->at++; it->at < it->end; it->at++) {
		if (*it->at == '"') {
			it->at++;
			return 0;
		}
		if (*it->at == '\\' && ++it->at == it->end)
			break;
	}
	return -EBADMSG;
}

/* Move behind the value at AT: to the ',' or bracket that ends it. */
static int
skip_value(struct jsonpieces *it)
{
	size_t depth = 0;
	int r;

	while (it->at < it->end) {
		switch (*it->at) {
		case '"':
			r = skip_string(it);
			if (r < 0)
				return r;
			continue;
		case '[':
		case '{':
			depth++;
			break;
		case ']':
		case '}':
			if (depth == 0)
				return 0;
			depth--;
			break;
		case ',':
			if (depth == 0)
				return 0;
			break;
		default:
			break;
		}
		it->at++;
	}
	return -EBADMSG;
}

static int
finish(struct jsonpieces *it)
{
	if (*it->at != (it->object ? '}' : ']'))
		return -EBADMSG;
	it->at++;
	it->done = true;
	skip_blanks(it);
	return it->at == it->end ? 0 : -EBADMSG;
}

static int
take_key(struct jsonpieces *it, struct jsonslice *key)
{
	int r;

	if (it->at == it->end || *it->at != '"')
		return -EBADMSG;
	key->text = it->at;
	r = skip_string(it);
	if (r < 0)
		return r;
	key->len = (size_t)(it->at - key->text);
	skip_blanks(it);
	if (it->at == it->end || *it->at != ':')
		return -EBADMSG;
	it->at++;
	skip_blanks(it);
	return 0;
}

int
jsonpieces_next(
    struct jsonpieces *it, struct jsonslice *key, struct jsonslice *value)
{
	int r;

	key->text = NULL;
	key->len = 0;
	if (it->done)
		return 0;
	skip_blanks(it);
	if (it->at == it->end)
		return -EBADMSG;
	if (*it->at == ']' || *it->at == '}') {
		return finish(it);
	} else if (!it->first) {
		if (*it->at != ',')
			return -EBADMSG;
		it->at++;
		skip_blanks(it);
	}
	it->first = false;
	if (it->object) {
		r = take_key(it, key);
		if (r < 0)
			return r;
	}
	value->text = it->at;
	r = skip_value(it);
	if (r < 0)
		return r;
	value->len = (size_t)(it->at - value->text);
	while (value->len > 0 && is_blank(value->text[value->len - 1]))
		value->len--;
	return value->len > 0 ? 1 : -EBADMSG;
}

bool
jsonslice_is(const struct jsonslice *slice, const char *word)
{
	size_t len = strlen(word);

	return slice->len == len + 2 && slice->text[0] == '"' &&
	    memcmp(slice->text + 1, word, len) == 0 &&
	    slice->text[len + 1] == '"';
}
