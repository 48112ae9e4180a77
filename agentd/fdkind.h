/* SPDX-License-Identifier: ISC */
/*
 * What a descriptor from a worker is, as the kernel has it: agentd keeps them,
 * hands them to other workers and to the next agentd, and they are what they
 * were sent as or do not get as far.
 */
#ifndef AGENTD_FDKIND_H
#define AGENTD_FDKIND_H

#include "common/imsg.h"

/* 0: M has none, or one of the kind that its type says; -EBADF. */
int fdkind_check(const struct imsg *m) _must_check_;

#endif
