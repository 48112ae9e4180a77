/* SPDX-License-Identifier: ISC */
/*
 * The files that variables name: certificates, keys and credentials are
 * renewed under names that stay.
 */
#ifndef AGENTD_CONFIG_FILES_H
#define AGENTD_CONFIG_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "agentd/config.h"
#include "agentd/secrets.h"

/* What was seen of each variable's file; zero-filled before the first use. */
struct config_files {
	struct secret_mark marks[CONFIG_VARS_MAX];
};

/*
 * The variables whose files have changed since the last call, into CHANGED
 * (room for all rows), and into *USERS the workers concerned; the first call
 * finds none.  Not among them are files that agentd itself uses: it reads
 * those with every reload.  Returns how many.
 */
size_t config_files_diff(struct config_files *f, const struct config *c,
    const struct config_var *changed[CONFIG_VARS_MAX], uint32_t *users);

#endif
