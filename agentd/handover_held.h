/* SPDX-License-Identifier: ISC */
/*
 * What a descriptor is, as the kernel says it: by its name in /proc/self/fd
 * (before the sandbox closes), and its ids.
 */
#ifndef AGENTD_HANDOVER_HELD_H
#define AGENTD_HANDOVER_HELD_H

#include "agentd/handover.h"

enum held_kind held_kind_of(int fd);

/* The ids of FD, which is of KIND.  0 or -errno. */
int held_describe(int fd, enum held_kind kind, struct held *held) _must_check_;

#endif
