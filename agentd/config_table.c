/* SPDX-License-Identifier: ISC */
#include "agentd/config_table.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

struct config_word {
	const char *word;
	int value;
};

static const struct config_word log_level_words[] = {
	{ "debug", LOG_LEVEL_DEBUG },
	{ "info", LOG_LEVEL_INFO },
	{ "warn", LOG_LEVEL_WARN },
	{ "error", LOG_LEVEL_ERROR },
	{ NULL, 0 },
};

static const struct config_word parameters_words[] = {
	{ "schema", PARAMETERS_SCHEMA },
	{ "signed", PARAMETERS_SIGNED },
	{ "any", PARAMETERS_ANY },
	{ NULL, 0 },
};

static const struct config_word bool_words[] = {
	{ "true", true },
	{ "false", false },
	{ "1", true },
	{ "0", false },
	{ "yes", true },
	{ "no", false },
	{ NULL, 0 },
};

#define VAR(NAME, dflt, u, f)                                                  \
	.var = { .name = #NAME,                                                \
		.default_value = (dflt),                                       \
		.users = (u),                                                  \
		.flags = (f) }
#define AT(field) .offset = offsetof(struct config, field)

static const struct config_row rows[] = {
#define CONFIG_STR(NAME, field, n, chk, dflt, u, f)                            \
	{ VAR(NAME, dflt, u, f), AT(field), .kind = KIND_STR, .size = (n),     \
		.check = (chk) },
#define CONFIG_NUMBER(NAME, field, k, type, dflt, lo, hi, u, f)                \
	{ VAR(NAME, dflt, u, f), AT(field), .kind = (k), .size = sizeof(type), \
		.min = (lo), .max = (hi) },
#define CONFIG_U32(NAME, field, dflt, lo, hi, u, f)                            \
	CONFIG_NUMBER(NAME, field, KIND_U32, uint32_t, dflt, lo, hi, u, f)
#define CONFIG_U64(NAME, field, dflt, lo, hi, u, f)                            \
	CONFIG_NUMBER(NAME, field, KIND_U64, uint64_t, dflt, lo, hi, u, f)
#define CONFIG_F64(NAME, field, dflt, lo, hi, u, f)                            \
	CONFIG_NUMBER(NAME, field, KIND_F64, double, dflt, lo, hi, u, f)
#define CONFIG_BOOL(NAME, field, dflt, u, f)                                   \
	{ VAR(NAME, dflt, u, f), AT(field), .kind = KIND_BOOL,                 \
		.size = sizeof(bool), .words = bool_words },
#define CONFIG_ENUM(NAME, field, type, w, dflt, u, f)                          \
	{ VAR(NAME, dflt, u, f), AT(field), .kind = KIND_ENUM,                 \
		.size = sizeof(type), .words = (w) },
#include "agentd/config.def"
};

_Static_assert(nitems(rows) <= CONFIG_VARS_MAX, "CONFIG_VARS_MAX");
_Static_assert(sizeof(enum log_level) == sizeof(int), "words are ints");
_Static_assert(sizeof(enum parameters_policy) == sizeof(int), "the same");

const struct config_row *
config_row(size_t i)
{
	return i < nitems(rows) ? &rows[i] : NULL;
}

const struct config_var *
config_var(size_t i)
{
	return i < nitems(rows) ? &rows[i].var : NULL;
}

const struct config_row *
config_row_find(const char *name)
{
	size_t i;

	for (i = 0; i < nitems(rows); i++)
		if (strcmp(rows[i].var.name, name) == 0)
			return &rows[i];
	return NULL;
}

#define NAME_MAX_LEN 64

/* Edits (insert, remove, change, swap of neighbours) from A to B. */
static size_t
edit_distance(const char *a, const char *b)
{
	size_t d[3][NAME_MAX_LEN + 1], i, j, la = strlen(a), lb = strlen(b);

	if (la > NAME_MAX_LEN || lb > NAME_MAX_LEN)
		return NAME_MAX_LEN;
	memset(d, 0, sizeof(d));
	for (j = 0; j <= lb; j++)
		d[0][j] = j;
	for (i = 1; i <= la; i++) {
		size_t *row = d[i % 3], *above = d[(i - 1) % 3];

		row[0] = i;
		for (j = 1; j <= lb; j++) {
			size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);

			if (above[j] + 1 < best)
				best = above[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] &&
			    d[(i - 2) % 3][j - 2] + 1 < best)
				best = d[(i - 2) % 3][j - 2] + 1;
			row[j] = best;
		}
	}
	return d[la % 3][lb];
}

const char *
config_name_nearest(const char *name)
{
	size_t i, n, best = NAME_MAX_LEN;
	const char *nearest = NULL;

	for (i = 0; i < nitems(rows); i++) {
		n = edit_distance(name, rows[i].var.name);
		if (n < best) {
			best = n;
			nearest = rows[i].var.name;
		}
	}
	/* A third of the letters after "AGENT_" wrong is another word. */
	if (nearest == NULL || best > 2 + (strlen(nearest) - 6) / 4)
		return NULL;
	return nearest;
}

/* ---- one value ---- */

static bool
ends_with(const char *name, const char *end)
{
	size_t a = strlen(name), b = strlen(end);

	return a >= b && strcmp(name + a - b, end) == 0;
}

static const char *
unit_of(const char *name)
{
	if (ends_with(name, "_SEC"))
		return " (seconds, without a unit)";
	if (ends_with(name, "_MB"))
		return " (MiB, without a unit)";
	if (ends_with(name, "_KB"))
		return " (KiB, without a unit)";
	if (ends_with(name, "_MS"))
		return " (milliseconds, without a unit)";
	if (ends_with(name, "_PERCENT"))
		return " (percent of one CPU, without a sign)";
	return "";
}

static void
number_allowed(const struct config_row *row, char *why, size_t size)
{
	const char *kind = row->kind == KIND_F64 ? "decimal" : "whole";
	const char *unit = unit_of(row->var.name);

	if (row->max == UINT64_MAX)
		(void)snprintf(why, size,
		    "must be a %s number of at least %" PRIu64 "%s", kind,
		    row->min, unit);
	else
		(void)snprintf(why, size,
		    "must be a %s number from %" PRIu64 " to %" PRIu64 "%s",
		    kind, row->min, row->max, unit);
}

static int
parse_number(const struct config_row *row, void *field, const char *value,
    char *why, size_t size)
{
	uint64_t u = 0;
	uint32_t narrow;
	double d = 0;
	int r;

	if (row->kind == KIND_F64)
		r = strnum_parse_double(
		    value, (double)row->min, (double)row->max, &d);
	else
		r = strnum_parse_u64(value, row->min, row->max, &u);
	if (r < 0) {
		number_allowed(row, why, size);
		return -EINVAL;
	}
	if (row->kind == KIND_F64) {
		memcpy(field, &d, sizeof(d));
	} else if (row->kind == KIND_U64) {
		memcpy(field, &u, sizeof(u));
	} else {
		narrow = (uint32_t)u;
		memcpy(field, &narrow, sizeof(narrow));
	}
	return 0;
}

static int
parse_word(const struct config_row *row, void *field, const char *value,
    char *why, size_t size)
{
	const struct config_word *w;
	size_t n;

	for (w = row->words; w->word != NULL; w++) {
		if (strcasecmp(w->word, value) != 0)
			continue;
		if (row->kind == KIND_BOOL)
			*(bool *)field = w->value != 0;
		else
			memcpy(field, &w->value, sizeof(w->value));
		return 0;
	}
	str_copy_cut(why, size, "must be one of:");
	for (w = row->words; w->word != NULL; w++) {
		n = strlen(why);
		(void)snprintf(why + n, size - n, " %s", w->word);
	}
	return -EINVAL;
}

static int
parse_string(const struct config_row *row, char *field, const char *value,
    char *why, size_t size)
{
	_cleanup_free_ char *canon = NULL;
	const char *what = "";
	int r;

	canon = malloc(row->size);
	if (canon == NULL) {
		(void)snprintf(why, size, "out of memory");
		return -ENOMEM;
	}
	r = config_check_value(row->check, value, canon, row->size, &what);
	if (r == -ENAMETOOLONG)
		(void)snprintf(why, size,
		    "is %zu bytes long; at most %zu are allowed", strlen(value),
		    row->size - 1);
	else if (r < 0)
		(void)snprintf(why, size, "%s", what);
	else
		memcpy(field, canon, row->size);
	explicit_bzero(canon, row->size);
	return r < 0 ? -EINVAL : 0;
}

int
config_row_parse(const struct config_row *row, struct config *c,
    const char *value, char *why, size_t size)
{
	char *field = (char *)c + row->offset;

	if (*value == '\0')
		value = row->var.default_value;
	switch (row->kind) {
	case KIND_STR:
		return parse_string(row, field, value, why, size);
	case KIND_U32:
	case KIND_U64:
	case KIND_F64:
		return parse_number(row, field, value, why, size);
	case KIND_BOOL:
	case KIND_ENUM:
		return parse_word(row, field, value, why, size);
	}
	return -EINVAL;
}

const char *
config_row_string(const struct config_row *row, const struct config *c)
{
	return (const char *)c + row->offset;
}

/* ---- what may be shown ---- */

bool
config_url_has_secret(const char *url)
{
	return strchr(url, '@') != NULL;
}

/* Where a port should be and is none: a password without its '@', perhaps. */
static const char *
odd_port(const char *s, const char *end)
{
	const char *colon, *p;

	if (s < end && *s == '[')
		s = memchr(s, ']', (size_t)(end - s));
	colon = s != NULL ? memchr(s, ':', (size_t)(end - s)) : NULL;
	if (colon == NULL)
		return NULL;
	for (p = colon + 1; p < end && *p != '/'; p++)
		if (*p < '0' || *p > '9')
			return colon + 1;
	return NULL;
}

/* Append [URL, END) to OUT; everything up to the last '@' becomes "xxx". */
static void
redact_one(const char *url, const char *end, char *out, size_t size)
{
	const char *host = strstr(url, "://"), *at, *odd;
	size_t n = strlen(out);

	host = host != NULL && host < end ? host + 3 : url;
	at = memrchr(host, '@', (size_t)(end - host));
	odd = at != NULL ? NULL : odd_port(host, end);
	if (at != NULL)
		(void)snprintf(out + n, size - n, "%.*sxxx%.*s",
		    (int)(host - url), url, (int)(end - at), at);
	else if (odd != NULL)
		(void)snprintf(
		    out + n, size - n, "%.*sxxx", (int)(odd - url), url);
	else
		(void)snprintf(
		    out + n, size - n, "%.*s", (int)(end - url), url);
}

void
config_redact_url(const char *url, char *out, size_t size)
{
	const char *p, *end;

	memset(out, 0, size);
	/* A comma that does not begin another URL may part a password. */
	for (p = strchr(url, ','); p != NULL; p = strchr(p + 1, ',')) {
		if (strncmp(p + 1, "nats://", 7) != 0 &&
		    strncmp(p + 1, "tls://", 6) != 0) {
			redact_one(url, url + strlen(url), out, size);
			str_scrub(out, size);
			return;
		}
	}
	for (p = url; *p != '\0'; p = end) {
		if (*p == ',') {
			(void)strncat(out, ",", size - strlen(out) - 1);
			p++;
		}
		end = strchrnul(p, ',');
		redact_one(p, end, out, size);
	}
	str_scrub(out, size);
}

void
config_row_redact(
    const struct config_row *row, const char *value, char *out, size_t size)
{
	memset(out, 0, size);
	if ((row->var.flags & CONFIG_SECRET) != 0)
		return;
	if (row->kind == KIND_STR && config_check_is_url(row->check)) {
		config_redact_url(value, out, size);
		return;
	}
	/* Somebody may take a private key for a public one. */
	if (row->check == CHECK_PUBLIC_KEY && row->kind == KIND_STR &&
	    strstr(value, "PRIVATE") != NULL)
		return;
	str_copy_cut(out, size, value);
	str_scrub(out, size);
}

static void
print_value(const struct config_row *row, const struct config *c, FILE *out)
{
	const char *field = (const char *)c + row->offset;
	const struct config_word *w;
	char shown[AEGIS_URL_SIZE];
	uint64_t u64;
	uint32_t u32;
	double d;
	int word;

	switch (row->kind) {
	case KIND_STR:
		config_row_redact(row, field, shown, sizeof(shown));
		if ((row->var.flags & CONFIG_SECRET) != 0 && *field != '\0')
			str_copy_cut(shown, sizeof(shown), "xxx");
		(void)fputs(shown, out);
		break;
	case KIND_U32:
		memcpy(&u32, field, sizeof(u32));
		(void)fprintf(out, "%" PRIu32, u32);
		break;
	case KIND_U64:
		memcpy(&u64, field, sizeof(u64));
		(void)fprintf(out, "%" PRIu64, u64);
		break;
	case KIND_F64:
		memcpy(&d, field, sizeof(d));
		(void)fprintf(out, "%.10g", d);
		break;
	case KIND_BOOL:
	case KIND_ENUM:
		word = row->kind == KIND_BOOL ? *(const bool *)field : 0;
		if (row->kind == KIND_ENUM)
			memcpy(&word, field, sizeof(word));
		for (w = row->words; w->word != NULL && w->value != word; w++)
			continue;
		(void)fputs(w->word != NULL ? w->word : "?", out);
		break;
	}
}

void
config_print(const struct config *c, FILE *out)
{
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		(void)fprintf(out, "%s=", rows[i].var.name);
		print_value(&rows[i], c, out);
		(void)putc('\n', out);
	}
}

/* ---- whole configurations ---- */

size_t
config_diff(const struct config *a, const struct config *b,
    const struct config_var *changed[CONFIG_VARS_MAX])
{
	size_t i, n = 0;

	for (i = 0; i < nitems(rows); i++) {
		const struct config_row *row = &rows[i];

		/* Strings are zero-filled (str_copy): bytes decide. */
		if (memcmp((const char *)a + row->offset,
			(const char *)b + row->offset, row->size) != 0)
			changed[n++] = &row->var;
	}
	return n;
}

void
config_apply(struct config *running, const struct config *new)
{
	size_t i;

	for (i = 0; i < nitems(rows); i++)
		if ((rows[i].var.flags & CONFIG_RESTART) == 0)
			memcpy((char *)running + rows[i].offset,
			    (const char *)new + rows[i].offset, rows[i].size);
}

void
config_wipe(struct config *c)
{
	explicit_bzero(c, sizeof(*c));
}
