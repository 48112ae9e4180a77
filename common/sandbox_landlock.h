/* SPDX-License-Identifier: ISC */
/*
 * Landlock for one row: which paths and TCP ports a process may still have.
 */
#ifndef COMMON_SANDBOX_LANDLOCK_H
#define COMMON_SANDBOX_LANDLOCK_H

#include "common/cleanup.h"
#include "common/sandbox.h"
#include "common/sandbox_rows.h"

/* The kernel's ABI number; 0 if it has no Landlock or it is switched off. */
int landlock_probe_abi(void);

/*
 * Bind the calling process, which has no_new_privs already, to ROW and
 * GRANTS (NULL: none) as far as ABI can.  Nothing is done for ABI 0.  0 or
 * -errno.
 */
int landlock_enter(const struct sandbox_row *row,
    const struct sandbox_grants *grants, int abi) _must_check_;

#endif
