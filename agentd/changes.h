/* SPDX-License-Identifier: ISC */
/*
 * What a reload brings: which variables and which files behind them are new,
 * who must start anew for it, and how it is told.  Pure.
 */
#ifndef AGENTD_CHANGES_H
#define AGENTD_CHANGES_H

#include <stddef.h>
#include <stdint.h>

#include "agentd/config.h"

/* As config_diff() and config_files_diff() fill it in. */
struct changes {
	const struct config_var *vars[CONFIG_VARS_MAX];
	size_t var_count;
	const struct config_var *files[CONFIG_VARS_MAX];
	size_t file_count;
	uint32_t file_users; /* PROC_BIT()s of who uses them */
};

/* Room for whatever changes_describe() has to say. */
#define CHANGES_TEXT_SIZE 1024

/*
 * The names of what changed, with which of them wait for a restart, into TEXT
 * of SIZE bytes (at least CHANGES_TEXT_SIZE): "nothing changed" if nothing
 * did; names that have no room are counted.
 */
void changes_describe(const struct changes *c, char *text, size_t size);

/*
 * PROC_BIT()s of those who must start anew: not for a value that waits for a
 * restart of agentd itself, and is there to be seen at every reload until then.
 */
uint32_t changes_restart(const struct changes *c);

/*
 * PROC_BIT()s of the workers that stay and take new files as they run: a
 * fetchd, so that no download is broken off.
 */
uint32_t changes_renew(const struct changes *c);

#endif
