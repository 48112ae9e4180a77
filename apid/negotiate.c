/* SPDX-License-Identifier: ISC */
#include "apid/negotiate.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A piece of a header, not terminated. */
struct span {
	const char *s;
	size_t len;
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct span
trim(struct span t)
{
	while (t.len > 0 && is_blank(t.s[0])) {
		t.s++;
		t.len--;
	}
	while (t.len > 0 && is_blank(t.s[t.len - 1]))
		t.len--;
	return t;
}

/* Take the next piece up to SEP off LIST; false at the end. */
static bool
next_piece(struct span *list, char sep, struct span *piece)
{
	const char *end;

	if (list->s == NULL)
		return false;
	end = memchr(list->s, sep, list->len);
	piece->s = list->s;
	if (end == NULL) {
		piece->len = list->len;
		list->s = NULL;
		list->len = 0;
	} else {
		piece->len = (size_t)(end - list->s);
		list->len -= piece->len + 1;
		list->s = end + 1;
	}
	*piece = trim(*piece);
	return true;
}

static bool
span_is(struct span t, const char *word)
{
	return t.len == strlen(word) && strncasecmp(t.s, word, t.len) == 0;
}

/* A q of "0.85" in thousandths; anything malformed counts as 0. */
static int
parse_q(struct span t)
{
	int q, digit, unit = 100;
	size_t i;

	if (t.len == 0 || t.len > 5 || (t.s[0] != '0' && t.s[0] != '1'))
		return 0;
	q = (t.s[0] - '0') * 1000;
	if (t.len > 1 && t.s[1] != '.')
		return 0;
	for (i = 2; i < t.len; i++) {
		digit = t.s[i] - '0';
		if (digit < 0 || digit > 9)
			return 0;
		q += digit * unit;
		unit /= 10;
	}
	return q > 1000 ? 1000 : q;
}

/* Split "type; a=b; q=0.5": the type, its q, and its version if it has one. */
static struct span
parse_range(struct span item, int *q, struct span *version)
{
	struct span type, parameter;

	*q = 1000;
	*version = (struct span){ 0 };
	if (!next_piece(&item, ';', &type))
		return (struct span){ 0 };
	while (next_piece(&item, ';', &parameter)) {
		if (parameter.len > 2 && strncasecmp(parameter.s, "q=", 2) == 0)
			*q = parse_q((struct span){
			    parameter.s + 2, parameter.len - 2 });
		else if (parameter.len > 8 &&
		    strncasecmp(parameter.s, "version=", 8) == 0)
			*version =
			    (struct span){ parameter.s + 8, parameter.len - 8 };
	}
	return type;
}

/* How specifically a range names a form: 0 not at all, 3 exactly. */
static int
match_form(struct span type, struct span version, enum metrics_form form)
{
	static const char *const types[METRICS_FORM_MAX] = {
		[METRICS_JSON] = "application/json",
		[METRICS_PROMETHEUS] = "text/plain",
		[METRICS_OPENMETRICS] = "application/openmetrics-text",
	};

	if (span_is(type, types[form])) {
		/* We speak 0.0.4 and 1.0.0, and no other version of these. */
		if (form == METRICS_PROMETHEUS && version.len > 0 &&
		    !span_is(version, "0.0.4"))
			return 0;
		if (form == METRICS_OPENMETRICS && version.len > 0 &&
		    !span_is(version, "1.0.0") && !span_is(version, "0.0.1"))
			return 0;
		return 3;
	}
	if (form == METRICS_PROMETHEUS && span_is(type, "text/*"))
		return 2;
	if (form == METRICS_JSON && span_is(type, "application/*"))
		return 2;
	return span_is(type, "*/*") ? 1 : 0;
}

enum metrics_form
negotiate_metrics(const char *accept)
{
	int q[METRICS_FORM_MAX] = { 0 }, exact[METRICS_FORM_MAX] = { 0 };
	int form, best = METRICS_JSON, item_q, match;
	struct span list, item, type, version;

	if (accept == NULL)
		return METRICS_JSON;
	list = (struct span){ accept, strlen(accept) };
	while (next_piece(&list, ',', &item)) {
		type = parse_range(item, &item_q, &version);
		for (form = 0; form < METRICS_FORM_MAX; form++) {
			match = match_form(type, version, form);
			if (match > exact[form] ||
			    (match > 0 && match == exact[form] &&
				item_q > q[form])) {
				exact[form] = match;
				q[form] = item_q;
			}
		}
	}
	for (form = METRICS_JSON + 1; form < METRICS_FORM_MAX; form++)
		if (q[form] > q[best] ||
		    (q[form] > 0 && q[form] == q[best] &&
			exact[form] > exact[best]))
			best = form;
	return (enum metrics_form)best;
}

bool
negotiate_gzip(const char *accept_encoding)
{
	int q, gzip_q = -1, any_q = -1;
	struct span list, item, coding, version;

	if (accept_encoding == NULL)
		return false;
	list = (struct span){ accept_encoding, strlen(accept_encoding) };
	while (next_piece(&list, ',', &item)) {
		coding = parse_range(item, &q, &version);
		if (span_is(coding, "gzip") || span_is(coding, "x-gzip"))
			gzip_q = q;
		else if (span_is(coding, "*"))
			any_q = q;
	}
	return gzip_q > 0 || (gzip_q == -1 && any_q > 0);
}

/* The opaque part of an entity tag, without W/. */
static struct span
opaque(struct span t)
{
	if (t.len > 2 && t.s[0] == 'W' && t.s[1] == '/') {
		t.s += 2;
		t.len -= 2;
	}
	return t;
}

bool
negotiate_not_modified(const char *if_none_match, const char *etag)
{
	struct span list, item;
	struct span ours = opaque((struct span){ etag, strlen(etag) });

	if (if_none_match == NULL)
		return false;
	/* Our tags hold no comma, so a list splits at commas safely. */
	list = (struct span){ if_none_match, strlen(if_none_match) };
	while (next_piece(&list, ',', &item)) {
		if (span_is(item, "*"))
			return true;
		item = opaque(item);
		if (item.len == ours.len &&
		    memcmp(item.s, ours.s, ours.len) == 0)
			return true;
	}
	return false;
}

bool
negotiate_bearer(const char *authorization, const char *token)
{
	size_t len = strlen(token), given_len, i;
	unsigned char differs;
	const char *given;
	char c;

	if (authorization == NULL ||
	    strncasecmp(authorization, "Bearer", 6) != 0 ||
	    !is_blank(authorization[6]))
		return false;
	given = authorization + 7;
	while (is_blank(*given))
		given++;
	given_len = strlen(given);
	while (given_len > 0 && is_blank(given[given_len - 1]))
		given_len--;
	differs = given_len != len;
	/* Every byte of what was given is compared, right or wrong. */
	for (i = 0; i < given_len; i++) {
		c = len > 0 ? token[i % len] : 0;
		differs |= (unsigned char)(given[i] ^ c);
		__asm__ volatile("" : "+r"(differs));
	}
	return differs == 0 && len > 0;
}
