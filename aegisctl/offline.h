/* SPDX-License-Identifier: ISC */
/*
 * The commands that need no running agent.
 */
#ifndef AEGISCTL_OFFLINE_H
#define AEGISCTL_OFFLINE_H

#include <stdbool.h>

#include "common/cleanup.h"

struct offline_options {
	bool json;
	const char *key;        /* -k */
	const char *signature;  /* -s */
	const char *parameters; /* -p, a file */
	const char *output;     /* -o */
};

/* 0; 1 after saying why not: the exit status. */
int offline_verify(const struct offline_options *o, const char *file);
int offline_inspect(const struct offline_options *o, const char *file);
int offline_dry_run(const struct offline_options *o, const char *file);
int offline_pack(const struct offline_options *o, const char *directory);

#endif
