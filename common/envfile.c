/* SPDX-License-Identifier: ISC */
#include "common/envfile.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/*
 * systemd's own state machine (parse_env_file_internal), with two decisions
 * of ours: a comment ends with its line even after a backslash (as since
 * v254), and an open quote at the end is an error, since it swallowed what
 * followed.
 */
enum parse_state {
	PRE_KEY,
	KEY,
	PRE_VALUE,
	VALUE,
	VALUE_ESCAPE,
	SINGLE_QUOTE,
	DOUBLE_QUOTE,
	DOUBLE_QUOTE_ESCAPE,
	COMMENT
};

struct parser {
	enum parse_state state;
	unsigned int line;  /* now */
	unsigned int start; /* of the assignment */
	char *key;
	size_t key_len;
	char *value;
	size_t value_len;
	size_t keep; /* bytes of value that trailing blanks do not count in */
	envfile_line fn;
	void *ctx;
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool
is_newline(char c)
{
	return c == '\n' || c == '\r';
}

static bool
is_name(const char *s)
{
	if (*s == '\0' || isdigit((unsigned char)*s))
		return false;
	for (; *s != '\0'; s++)
		if (!isascii((unsigned char)*s) ||
		    (!isalnum((unsigned char)*s) && *s != '_'))
			return false;
	return true;
}

static void
end_key(struct parser *p)
{
	while (p->key_len > 0 && is_blank(p->key[p->key_len - 1]))
		p->key_len--;
	p->key[p->key_len] = '\0';
}

static int
end_assignment(struct parser *p)
{
	int r;

	p->value_len = p->keep;
	p->value[p->value_len] = '\0';
	if (is_name(p->key))
		r = p->fn(p->key, p->value, p->start, p->ctx);
	else
		r = p->fn(NULL, p->key, p->start, p->ctx);
	p->key_len = p->value_len = p->keep = 0;
	return r;
}

static int
end_no_assignment(struct parser *p)
{
	end_key(p);
	p->state = PRE_KEY;
	p->key_len = 0;
	return p->fn(NULL, p->key, p->start, p->ctx);
}

/* A byte of the value; blanks count only once something follows them. */
static void
put_value(struct parser *p, char c, bool keep)
{
	p->value[p->value_len++] = c;
	if (keep)
		p->keep = p->value_len;
}

static int
step_key(struct parser *p, char c)
{
	if (p->state == PRE_KEY) {
		if (c == '#' || c == ';') {
			p->state = COMMENT;
		} else if (!is_blank(c)) {
			p->state = KEY;
			p->start = p->line;
			p->key[p->key_len++] = c;
		}
		return 0;
	}
	if (is_newline(c))
		return end_no_assignment(p);
	if (c == '=') {
		end_key(p);
		p->state = PRE_VALUE;
	} else {
		p->key[p->key_len++] = c;
	}
	return 0;
}

static int
step_value(struct parser *p, char c)
{
	if (is_newline(c)) {
		p->state = PRE_KEY;
		return end_assignment(p);
	}
	if (c == '\\') {
		p->state = VALUE_ESCAPE;
	} else if (p->state == PRE_VALUE && c == '\'') {
		p->state = SINGLE_QUOTE;
	} else if (p->state == PRE_VALUE && c == '"') {
		p->state = DOUBLE_QUOTE;
	} else if (p->state == VALUE) {
		put_value(p, c, !is_blank(c));
	} else if (!is_blank(c)) {
		p->state = VALUE;
		put_value(p, c, true);
	}
	return 0;
}

static void
step_quote(struct parser *p, char c)
{
	switch (p->state) {
	case SINGLE_QUOTE:
		if (c == '\'')
			p->state = PRE_VALUE;
		else
			put_value(p, c, true);
		break;
	case DOUBLE_QUOTE:
		if (c == '"')
			p->state = PRE_VALUE;
		else if (c == '\\')
			p->state = DOUBLE_QUOTE_ESCAPE;
		else
			put_value(p, c, true);
		break;
	default:
		p->state = DOUBLE_QUOTE;
		if (is_newline(c))
			break;
		/* "\n" stays backslash and n: only these are escapes. */
		if (strchr("\"\\`$", c) == NULL)
			put_value(p, '\\', true);
		put_value(p, c, true);
		break;
	}
}

static int
step(struct parser *p, char c)
{
	switch (p->state) {
	case PRE_KEY:
	case KEY:
		return step_key(p, c);
	case PRE_VALUE:
	case VALUE:
		return step_value(p, c);
	case VALUE_ESCAPE:
		p->state = VALUE;
		if (!is_newline(c))
			put_value(p, c, true);
		return 0;
	case COMMENT:
		if (is_newline(c))
			p->state = PRE_KEY;
		return 0;
	default:
		step_quote(p, c);
		return 0;
	}
}

static int
end_of_file(struct parser *p, unsigned int *line, const char **what)
{
	switch (p->state) {
	case PRE_KEY:
	case COMMENT:
		return 0;
	case KEY:
		return end_no_assignment(p);
	case PRE_VALUE:
	case VALUE:
	case VALUE_ESCAPE:
		return end_assignment(p);
	default:
		*line = p->start;
		*what = "a quote is opened here and never closed";
		return -EINVAL;
	}
}

int
envfile_parse(const char *text, size_t len, envfile_line fn, void *ctx,
    unsigned int *line, const char **what)
{
	struct parser p = { .line = 1, .start = 1, .fn = fn, .ctx = ctx };
	_cleanup_free_ char *buf = NULL;
	size_t size, i;
	int r = 0;

	/* A key and a value together are never longer than the text; a
	 * backslash kept in double quotes was in the text too. */
	if (__builtin_mul_overflow(len + 2, 2, &size))
		return -ENOMEM;
	buf = malloc(size);
	if (buf == NULL)
		return -ENOMEM;
	p.key = buf;
	p.value = buf + len + 2;
	for (i = 0; i < len && r == 0; i++) {
		if (text[i] == '\0') {
			*line = p.line;
			*what = "a NUL byte: this is no text file";
			r = -EINVAL;
			break;
		}
		r = step(&p, text[i]);
		if (text[i] == '\n')
			p.line++;
	}
	if (r == 0)
		r = end_of_file(&p, line, what);
	explicit_bzero(buf, size);
	return r;
}
