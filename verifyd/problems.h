/* SPDX-License-Identifier: ISC */
/*
 * The list of what is wrong with an artifact: every problem of one step, in
 * words, as one line that fits an error message.  Text from the artifact is
 * quoted short and made harmless at the end.
 */
#ifndef VERIFYD_PROBLEMS_H
#define VERIFYD_PROBLEMS_H

#include <stddef.h>

#include "common/cleanup.h"
#include "common/limits.h"

struct json_object;

struct problems {
	unsigned int count;
	unsigned int unsaid; /* beyond the room */
	size_t len;
	char text[AEGIS_ERROR_SIZE];
};

/* Room for a JSON value as it is quoted in a problem. */
#define PROBLEM_QUOTE_SIZE 80

/* Add one: what thing, which value, what would be right. */
void problem_add(struct problems *p, const char *fmt, ...) _printf_(2, 3);

/*
 * The finished line, "" if there is no problem; valid until the next
 * problem_add().  All that is said ends in what was left out.
 */
const char *problems_text(struct problems *p);

/* VALUE as compact JSON, cut; returns OUT. */
const char *problem_quote(
    struct json_object *value, char out[PROBLEM_QUOTE_SIZE]);

#endif
