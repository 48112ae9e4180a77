/* SPDX-License-Identifier: ISC */
/*
 * What the kernel says of a link and its program, by their descriptors: needs
 * no capability, only custody.
 */
#ifndef AGENTD_LINKINFO_H
#define AGENTD_LINKINFO_H

#include "agentd/follow.h"

/* LINK and PROG are borrowed; PROG may be -1.  0 or -errno. */
int linkinfo_read(int link, int prog, struct link_seen *seen) _must_check_;

#endif
