/* SPDX-License-Identifier: ISC */
#include "aegisctl/table.h"

#include <err.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/strnum.h"

static void
add_cell(struct table *t, char *cell)
{
	size_t len;

	if (t->count == t->room) {
		t->room = t->room == 0 ? 64 : 2 * t->room;
		t->cells = reallocarray(t->cells, t->room, sizeof(*t->cells));
		if (t->cells == NULL)
			err(70, NULL);
	}
	len = strlen(cell);
	if (len > t->width[t->column])
		t->width[t->column] = len;
	t->cells[t->count++] = cell;
	t->column = (t->column + 1) % t->columns;
}

void
table_open(struct table *t, unsigned int columns, unsigned int right,
    const char *const *headings)
{
	unsigned int i;

	memset(t, 0, sizeof(*t));
	t->columns = columns;
	t->right = right;
	for (i = 0; i < columns; i++)
		table_add(t, "%s", headings[i]);
}

void
table_add(struct table *t, const char *fmt, ...)
{
	char *cell = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&cell, fmt, ap) == -1)
		err(70, NULL);
	va_end(ap);
	str_scrub(cell, strlen(cell) + 1);
	if (cell[0] == '\0') {
		free(cell);
		cell = strdup("-");
		if (cell == NULL)
			err(70, NULL);
	}
	add_cell(t, cell);
}

void
table_close(struct table *t, FILE *f)
{
	unsigned int column;
	size_t i;
	int width;

	for (i = 0; i < t->count; i++) {
		column = (unsigned int)(i % t->columns);
		width = (int)t->width[column];
		if (t->right & (1u << column))
			(void)fprintf(f, "%*s", width, t->cells[i]);
		else if (column + 1 == t->columns)
			(void)fprintf(f, "%s", t->cells[i]);
		else
			(void)fprintf(f, "%-*s", width, t->cells[i]);
		(void)fputs(column + 1 == t->columns ? "\n" : "  ", f);
		free(t->cells[i]);
	}
	free(t->cells);
	memset(t, 0, sizeof(*t));
}

void
table_text(FILE *f, const char *indent, const char *text, size_t len)
{
	const char *end;
	size_t n;
	char *line;

	while (len > 0) {
		end = memchr(text, '\n', len);
		n = end != NULL ? (size_t)(end - text) : len;
		line = strndup(text, n);
		if (line == NULL)
			err(70, NULL);
		str_scrub(line, strlen(line) + 1);
		(void)fprintf(f, "%s%s\n", indent, line);
		free(line);
		if (end != NULL)
			n++;
		text += n;
		len -= n;
	}
}

void
table_count(double n, char *out)
{
	static const char units[] = " kMGTPE";
	size_t i = 0;

	while (n >= 9999.5 && i + 2 < sizeof(units)) {
		n /= 1000;
		i++;
	}
	if (i == 0)
		(void)snprintf(out, 16, "%.0f", n);
	else
		(void)snprintf(
		    out, 16, n < 100 ? "%.1f%c" : "%.0f%c", n, units[i]);
}
