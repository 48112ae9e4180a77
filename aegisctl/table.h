/* SPDX-License-Identifier: ISC */
/*
 * Columns for people: cells are gathered first, so that each column is as
 * wide as its widest cell.
 */
#ifndef AEGISCTL_TABLE_H
#define AEGISCTL_TABLE_H

#include <stddef.h>
#include <stdio.h>

#include "common/cleanup.h"

#define TABLE_COLUMNS_MAX 12

struct table {
	unsigned int columns;
	unsigned int right;  /* bit I: column I is flush right */
	unsigned int column; /* of the next cell */
	size_t width[TABLE_COLUMNS_MAX];
	char **cells;
	size_t count;
	size_t room;
};

/* A table with these headings (COLUMNS of them); RIGHT as in the struct. */
void table_open(struct table *t, unsigned int columns, unsigned int right,
    const char *const *headings);

/*
 * The next cell of the row.  Control characters in it become '?', for what a
 * peer wrote must not speak to the terminal; "" is shown as "-".  Exits when
 * out of memory.
 */
void table_add(struct table *t, const char *fmt, ...) _printf_(2, 3);

/* Print to F and release. */
void table_close(struct table *t, FILE *f);

/* Text of LEN bytes to F with every line indented and scrubbed. */
void table_text(FILE *f, const char *indent, const char *text, size_t len);

/* "17", "4.2k", "1.3M": four places at most.  OUT: 16 bytes. */
void table_count(double n, char *out);

#endif
