/* SPDX-License-Identifier: ISC */
/*
 * config.def as a table: how one variable is read, shown and compared.
 */
#ifndef AGENTD_CONFIG_TABLE_H
#define AGENTD_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agentd/config.h"
#include "agentd/config_check.h"

enum config_kind {
	KIND_STR,
	KIND_U32,
	KIND_U64,
	KIND_F64,
	KIND_BOOL,
	KIND_ENUM
};

struct config_word; /* a word and its value; config_table.c */

struct config_row {
	struct config_var var;
	size_t offset; /* in struct config */
	size_t size;   /* bytes of the field */
	enum config_kind kind;
	enum config_check check; /* KIND_STR */
	uint64_t min;            /* numbers */
	uint64_t max;
	const struct config_word *words; /* KIND_BOOL, KIND_ENUM */
};

/* Row I; NULL after the last. */
const struct config_row *config_row(size_t i);

/* By exact name; NULL if there is none. */
const struct config_row *config_row_find(const char *name);

/*
 * The name that NAME was most likely meant to be (edit distance), NULL if
 * nothing is near.
 */
const char *config_name_nearest(const char *name);

/*
 * Put VALUE ("" is the default) into C's field.  0, or -EINVAL with what is
 * wrong and what is allowed in WHY of SIZE bytes; the field is then
 * unchanged.
 */
int config_row_parse(const struct config_row *row, struct config *c,
    const char *value, char *why, size_t size) _must_check_;

/*
 * VALUE as a message may show it: nothing of a secret, no password of a URL,
 * scrubbed and cut.
 */
void config_row_redact(
    const struct config_row *row, const char *value, char *out, size_t size);

/* The text of a KIND_STR field. */
const char *config_row_string(
    const struct config_row *row, const struct config *c);

#endif
