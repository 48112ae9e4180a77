/* SPDX-License-Identifier: ISC */
/*
 * The configuration: environment over file over defaults, checked as a
 * whole, so that one run tells everything that is wrong.
 *
 * struct config is made from config.def and owns no memory: it may be copied
 * with '=' and compared with config_diff().  It holds the Vault token, so it
 * is wiped (config_wipe()) before it is let go, and never shown but through
 * config_print().
 */
#ifndef AGENTD_CONFIG_H
#define AGENTD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/msg.h"
#include "common/proc.h"

#define CONFIG_DEFAULT_FILE "/etc/aegisflux/agentd.env"

#define CONFIG_KEY_SIZE    16384 /* a PEM bundle in the variable itself */
#define CONFIG_TOKEN_SIZE  4096
#define CONFIG_SOCKET_SIZE 108 /* sun_path */

struct config {
#define CONFIG_STR(NAME, field, size, ...)  char field[size];
#define CONFIG_U32(NAME, field, ...)        uint32_t field;
#define CONFIG_U64(NAME, field, ...)        uint64_t field;
#define CONFIG_F64(NAME, field, ...)        double field;
#define CONFIG_BOOL(NAME, field, ...)       bool field;
#define CONFIG_ENUM(NAME, field, type, ...) type field;
#include "agentd/config.def"
};

/* A row of config.def, for those who walk the table. */
struct config_var {
	const char *name; /* "AGENT_HOST_ID" */
	const char *default_value;
	uint32_t users; /* PROC_BIT()s of those who must learn of a change */
	uint32_t flags;
};

#define CONFIG_SECRET      1u /* the value is a secret */
#define CONFIG_SECRET_FILE 2u /* names a file that is one */
#define CONFIG_RESTART     4u /* a change needs a restart of agentd */

/* Row I in the order of config.def; NULL after the last. */
const struct config_var *config_var(size_t i);

/*
 * What is wrong with a configuration: errors refuse it, warnings do not.
 * Start with an empty one (CONFIG_PROBLEMS_INIT), free at the end.
 */
struct config_problem {
	bool warning;
	char variable[64]; /* or the file's path and line */
	char value[128];   /* scrubbed, cut; "" where secret or unset */
	char text[384];    /* what is wrong and what is allowed */
};

struct config_problems {
	struct config_problem *list; /* owned */
	size_t count;
	size_t errors; /* how many are no warnings */
};

#define CONFIG_PROBLEMS_INIT                                                   \
	{                                                                      \
	}
void config_problems_free(struct config_problems *p);
#define _cleanup_config_problems_ _cleanup_(config_problems_free)

/* "AGENT_HTTP_PORT: \"x\": not a number; ..." into OUT of SIZE bytes. */
void config_problem_format(
    const struct config_problem *problem, char *out, size_t size);

/*
 * Read the configuration.  FILE: the file of -f, which must then exist;
 * NULL: CONFIG_DEFAULT_FILE if it exists.  ENVIRON: "NAME=value" strings,
 * NULL-terminated.  Every problem goes to P.  0: C is complete (there may be
 * warnings); -EINVAL: errors, C holds defaults in their place and must not
 * be used; other -errno: no memory.  Files that variables name are not
 * looked at: config_check_files().
 */
int config_load(struct config *c, const char *file, char *const *environ,
    struct config_problems *p) _must_check_;

/*
 * Look at every file that a variable names: there, regular, readable, of
 * sane permissions and size.  Adds to P; 0 or -EINVAL when there were errors.
 */
int config_check_files(
    const struct config *c, struct config_problems *p) _must_check_;

/* Both: a wrong value does not keep the others' files from being looked at. */
int config_load_all(struct config *c, const char *file, char *const *environ,
    struct config_problems *p) _must_check_;

/* "NAME=value" lines of everything; secrets and passwords as "xxx". */
void config_print(const struct config *c, FILE *out);

/* URL without user and password, for messages: nats://xxx@host:4222. */
void config_redact_url(const char *url, char *out, size_t size);

/* True if URL (or one of a comma list) carries user or password. */
bool config_url_has_secret(const char *url);

/*
 * The variables whose values differ, into CHANGED (room for all rows).
 * Returns how many.
 */
#define CONFIG_VARS_MAX 64
size_t config_diff(const struct config *a, const struct config *b,
    const struct config_var *changed[CONFIG_VARS_MAX]);

/*
 * Take over from NEW what may change at run time: all but the variables
 * flagged CONFIG_RESTART.
 */
void config_apply(struct config *running, const struct config *new);

/* Overwrite with zeros so that it stays done. */
void config_wipe(struct config *c);

/* Bytes of a file; wiped when let go. */
struct config_secret {
	char *data; /* owned, NUL-terminated after LEN bytes; NULL: none */
	size_t len;
};

void config_secret_wipe(struct config_secret *s);
#define _cleanup_config_secret_ _cleanup_(config_secret_wipe)

/*
 * Read PATH, at most MAX bytes, into OUT.  A regular file (links are
 * followed: Kubernetes mounts secrets as links), not writable for others;
 * TOKEN: one line of printable ASCII, whose newline is cut off.  0 or
 * -errno, with the reason in ERR of AEGIS_TEXT_SIZE bytes.
 */
int config_read_secret(const char *path, size_t max, bool token,
    struct config_secret *out, char *err) _must_check_;

/*
 * PEM text of a public key variable, for verifyd or telemd, whatever its
 * form: PEM with newlines or "\n", base64 of a DER SubjectPublicKeyInfo or of
 * a raw Ed25519 key (both become PEM), "file:" and the path of a PEM bundle.
 * Shape is checked, keys are not: that is verifyd's.  Same errors as
 * config_read_secret(); -ENOENT and "" in ERR if VALUE is empty.
 */
int config_read_public_key(
    const char *value, struct config_secret *out, char *err) _must_check_;

#endif
