/* SPDX-License-Identifier: ISC */
/*
 * The seccomp filter of one row.
 */
#ifndef COMMON_SANDBOX_SECCOMP_H
#define COMMON_SANDBOX_SECCOMP_H

#include "common/cleanup.h"
#include "common/sandbox_rows.h"

/*
 * Put ROW's filter on the calling process and all its threads, which have
 * no_new_privs already.  What the row does not allow kills the process, and
 * so does every call of another architecture.  0 or -errno.
 */
int seccomp_enter(const struct sandbox_row *row) _must_check_;

#endif
