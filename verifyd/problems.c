/* SPDX-License-Identifier: ISC */
#include "verifyd/problems.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <string.h>

#include "common/strnum.h"

/* Kept free for "; and 4294967295 more". */
#define TAIL_ROOM 32

void
problem_add(struct problems *p, const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	size_t len, sep = p->len > 0 ? 2 : 0;
	int n;

	p->count++;
	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0)
		line[0] = '\0';
	len = strlen(line);
	if (p->unsaid > 0 ||
	    p->len + sep + len + TAIL_ROOM >= sizeof(p->text)) {
		p->unsaid++;
		return;
	}
	memcpy(p->text + p->len, "; ", sep);
	memcpy(p->text + p->len + sep, line, len + 1);
	p->len += sep + len;
}

const char *
problems_text(struct problems *p)
{
	if (p->unsaid > 0)
		(void)snprintf(p->text + p->len, sizeof(p->text) - p->len,
		    "; and %u more", p->unsaid);
	str_scrub(p->text, sizeof(p->text));
	return p->text;
}

const char *
problem_quote(struct json_object *value, char out[PROBLEM_QUOTE_SIZE])
{
	const char *text = "null";

	if (value != NULL)
		text = json_object_to_json_string_ext(value,
		    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text == NULL)
		text = "?";
	if (strlen(text) < PROBLEM_QUOTE_SIZE) {
		str_copy_cut(out, PROBLEM_QUOTE_SIZE, text);
	} else {
		str_copy_cut(out, PROBLEM_QUOTE_SIZE - 3, text);
		strcat(out, "...");
	}
	return out;
}
