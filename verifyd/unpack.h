/* SPDX-License-Identifier: ISC */
/*
 * Out of a verified artifact.tar.zst: metadata.json and program.o, into
 * memory, and nothing else; nothing is ever written by a name that the
 * archive chose.
 */
#ifndef VERIFYD_UNPACK_H
#define VERIFYD_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/limits.h"
#include "common/memfd.h"
#include "verifyd/problems.h"

struct unpacked_member {
	char *name; /* owned; without leading "./" */
	bool has_sum;
	uint8_t sha256[AEGIS_SHA256_SIZE]; /* with has_sum */
};

struct unpacked {
	char *metadata; /* owned, NUL-terminated */
	size_t metadata_len;
	int object_fd;           /* program.o, a sealed memfd; owned */
	struct memfd_map object; /* the same, mapped */
	/* All regular members, those that are not kept too. */
	struct unpacked_member members[AEGIS_TAR_MEMBERS];
	unsigned int member_count;
};

#define UNPACKED_INIT                                                          \
	{                                                                      \
		.object_fd = -1                                                \
	}

/*
 * Unpack LEN bytes at DATA.  0, -EBADMSG after a problem was added, or
 * another negative errno when this process lacks something (memory,
 * descriptors).
 */
int unpack_artifact(const void *data, size_t len, struct unpacked *out,
    struct problems *problems) _must_check_;

/* The member of that name, NULL if there was none. */
struct unpacked_member *unpacked_find(struct unpacked *u, const char *name);

/*
 * The same with its SHA-256.  That of program.o is large and not everybody
 * asks for it, so it is made here, the first time.
 */
const struct unpacked_member *unpacked_find_sum(
    struct unpacked *u, const char *name);

void unpacked_release(struct unpacked *u);

#define _cleanup_unpacked_ _cleanup_(unpacked_release)

#endif
