/* SPDX-License-Identifier: ISC */
/*
 * metadata.json: what the signer says about the program, read strictly.
 * Members that this agent does not know are ignored, so that packers may add
 * their own; known ones must have the right form.
 */
#ifndef VERIFYD_METADATA_H
#define VERIFYD_METADATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/loadplan.h"
#include "verifyd/json.h"
#include "verifyd/problems.h"
#include "verifyd/unpack.h"

/* The keys of an "attach" entry that say where; see metadata_where_name(). */
enum attach_where {
	WHERE_INTERFACE,
	WHERE_CGROUP,
	WHERE_SYMBOL,
	WHERE_TRACEPOINT,
	WHERE_BINARY,
	WHERE_OFFSET,
	WHERE_MODE,
	WHERE_DIRECTION,
	WHERE_PRIORITY,
	WHERE_EVENT,
	WHERE_FREQUENCY,
	WHERE_PERIOD,
	WHERE_HOOK,
	WHERE_MAX
};

/* One entry of "attach"; values are borrowed, NULL where not given. */
struct metadata_attach {
	const char *program;
	bool load_only;                       /* "attach": false */
	struct json_object *where[WHERE_MAX]; /* strings or whole numbers */
};

struct metadata {
	struct json_object *root; /* owned; all below point into it */
	const char *name;
	const char *version;
	const char *architecture;   /* or NULL */
	const char *kernel_version; /* or NULL */
	const char *replaces;       /* or NULL */
	struct json_object *checksums;
	struct json_object *parameters; /* objects or NULL */
	struct json_object *schema;
	struct json_object *telemetry;
	struct json_object *carry_maps; /* array or NULL */
	uint64_t max_ttl_sec;           /* 0: none */
	uint64_t sequence;              /* 0: none */
	int64_t not_after_wall_ns;      /* 0: none */
	struct loadplan_limits limits;  /* -1 where not set */
	struct metadata_attach attaches[LOADPLAN_MAX_ATTACHES];
	unsigned int attach_count;
};

/* What the entry and the host demand of it. */
struct metadata_expected {
	const char *name;
	const char *version;
	const char *entry_architecture;   /* the entry's, "" if it has none */
	const char *entry_kernel_version; /* the same */
	const char *host_architecture;    /* uname -m */
	const char *host_kernel;          /* uname -r */
};

/*
 * Read LEN bytes of TEXT.  0, or -EBADMSG after all problems were added; M
 * is to be released either way.
 */
int metadata_parse(const char *text, size_t len, struct metadata *m,
    struct problems *problems) _must_check_;

/* Compare with what is expected; problems are added. */
void metadata_check(const struct metadata *m,
    const struct metadata_expected *expected, struct problems *problems);

/* Compare "checksums" with what was unpacked; problems are added. */
void metadata_check_sums(
    const struct metadata *m, struct unpacked *u, struct problems *problems);

void metadata_release(struct metadata *m);

/* "interface", "cgroup" and so on. */
const char *metadata_where_name(enum attach_where where);

#define _cleanup_metadata_ _cleanup_(metadata_release)

#endif
