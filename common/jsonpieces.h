/* SPDX-License-Identifier: ISC */
/*
 * Cut a JSON array or object into its elements without looking into them, so
 * that each can be checked, and refused, by itself: brackets and quotes are
 * counted, nothing else.  What comes out is only where the pieces would be;
 * every piece (keys too) still wants jsonscan_check().
 */
#ifndef COMMON_JSONPIECES_H
#define COMMON_JSONPIECES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/cleanup.h"

struct jsonslice {
	const char *text; /* into the text given; not terminated */
	size_t len;       /* without blanks around it */
};

struct jsonpieces {
	const char *at;
	const char *end;
	bool object;
	bool first;
	bool done;
};

/* TEXT must stay until the last piece is used.  -EBADMSG: neither. */
int jsonpieces_open(
    struct jsonpieces *it, const char *text, size_t len) _must_check_;

/*
 * The next piece.  KEY (with its quotes) is set for objects only.  1: there
 * is one; 0: that was all, and nothing but blanks follows; -EBADMSG.
 */
int jsonpieces_next(struct jsonpieces *it, struct jsonslice *key,
    struct jsonslice *value) _must_check_;

/* True if the slice is exactly the string WORD, quoted and unescaped. */
bool jsonslice_is(const struct jsonslice *slice, const char *word);

#endif
