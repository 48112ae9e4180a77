/* SPDX-License-Identifier: ISC */
/*
 * What the offline commands read: files as sealed memfds, keys, signatures.
 * Bytes are carried, not looked into.
 */
#ifndef AEGISCTL_FILES_H
#define AEGISCTL_FILES_H

#include <stddef.h>

#include "common/cleanup.h"

/*
 * Each returns 0 or an owned descriptor, or -errno after saying on standard
 * error what is wrong.
 */

/* The file as a sealed memfd, at most MAX bytes. */
int files_seal(const char *path, size_t max) _must_check_;

/* All of it, NUL-terminated and owned; LEN without the NUL. */
int files_read(
    const char *path, size_t max, char **text, size_t *len) _must_check_;

/*
 * The trust anchors as a sealed memfd of PEM text: KEY is a file or any form
 * of AGENT_PUBLIC_KEY; NULL: that variable's value, from the environment or
 * else from the agent's configuration file.
 */
int files_keys(const char *key) _must_check_;

/*
 * The signature's text: WHAT is a file or the text itself; NULL: FILE.sig.
 * A file that is no text is taken for the signature's bytes.  -ENOENT,
 * unsaid, where WHAT is NULL and there is no FILE.sig.
 */
int files_signature(
    const char *file, const char *what, char *out, size_t size) _must_check_;

/* Base64 of LEN bytes; OUT takes 4 * (LEN + 2) / 3 + 1. */
void files_base64(const void *data, size_t len, char *out);

/* Write LEN bytes to PATH as one step. */
int files_replace(const char *path, const void *data, size_t len) _must_check_;

#endif
