/* SPDX-License-Identifier: ISC */
/*
 * The registry's list: from its JSON to the flat records of
 * common/artlist.h.  The text is an opponent's.  A malformed entry costs
 * that entry alone; a malformed list is refused as a whole.
 */
#ifndef FETCHD_REGLIST_H
#define FETCHD_REGLIST_H

#include <stddef.h>
#include <stdint.h>

#include "common/artlist.h"
#include "common/cleanup.h"

/* One entry's JSON: its parameters (1 MiB) and all else it may carry. */
#define REGLIST_ENTRY_MAX (2u << 20)

/* Ten years; a longer life is a mistake of units. */
#define REGLIST_TTL_MAX_SEC INT64_C(315360000)

#define REGLIST_ERROR_SIZE 256

struct reglist {
	struct artlist_entry *entries;
	uint32_t count;
	uint32_t skipped; /* malformed entries */
	char *data;       /* the entries' parameters, compact JSON */
	uint32_t data_len;
	int64_t expires_wall_ns;   /* 0: the list carries none */
	int64_t next_poll_wall_ns; /* 0: none */
};

/*
 * Told of each entry that is skipped: its place in the list, its id ("" if
 * that was not to be read) and what is wrong, which names field and value.
 */
typedef void (*reglist_complain)(
    uint32_t index, const char *id, const char *error, void *ctx);

/*
 * Parse LEN bytes at TEXT.  0 and an owned LIST (reglist_free); or -EBADMSG,
 * -E2BIG, -ENOMEM with ERROR (REGLIST_ERROR_SIZE bytes).
 */
int reglist_parse(const char *text, size_t len, struct reglist *list,
    reglist_complain complain, void *ctx, char *error) _must_check_;
void reglist_free(struct reglist *list);

#endif
