/* SPDX-License-Identifier: ISC */
/*
 * The registry's list as flat records: fetchd parsed the JSON and writes
 * them; agentd reads them and never sees the JSON.  A sealed memfd: header,
 * entries, then a data area that holds the entries' parameters (JSON text,
 * which agentd passes on unread).
 */
#ifndef COMMON_ARTLIST_H
#define COMMON_ARTLIST_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/limits.h"

#define ARTLIST_MAGIC   0x54534c41u /* "ALST" */
#define ARTLIST_VERSION 1
#define ARTLIST_MAX     (48u << 20) /* a list of the largest size, flat */

struct artlist_header {
	uint32_t magic;
	uint32_t version;
	uint64_t total_len;
	uint32_t entry_count;
	uint32_t data_len;
};

struct artlist_entry {
	char artifact_id[AEGIS_ID_SIZE];
	char name[AEGIS_NAME_SIZE];
	char version[AEGIS_VERSION_SIZE];
	char architecture[32];   /* "" where absent */
	char kernel_version[32]; /* "" where absent */
	char replaces[AEGIS_ID_SIZE];
	char signature[AEGIS_SIGNATURE_SIZE]; /* base64 or vault:vN:base64 */
	uint8_t sha256[AEGIS_SHA256_SIZE];    /* of the tar.zst */
	uint32_t has_sha256;
	uint32_t reserved;
	uint64_t size;       /* 0: not said */
	int64_t ttl_sec;     /* -1: not said (the default applies) */
	uint32_t params_off; /* data area */
	uint32_t params_len; /* 0: none */
};

struct artlist {
	const struct artlist_header *header;
	const struct artlist_entry *entries;
	const uint8_t *data;
};

/*
 * Check LEN bytes at BYTES (8-aligned) and point LIST into them: bounds,
 * identifiers, text, one entry an id.  0, or -EBADMSG with *WHAT (static).
 */
int artlist_check(const void *bytes, size_t len, struct artlist *list,
    const char **what) _must_check_;

/*
 * Write ENTRIES (with params_off and params_len already relative to DATA) as
 * a sealed memfd.  Owned descriptor or -errno.
 */
int artlist_write(const struct artlist_entry *entries, uint32_t count,
    const void *data, uint32_t data_len) _must_check_;

#endif
