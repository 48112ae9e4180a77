/* SPDX-License-Identifier: ISC */
/*
 * What needs more privilege than bpfd has, done here, exactly as named by
 * validated fields, and passed on as descriptors.
 */
#ifndef AGENTD_BROKER_H
#define AGENTD_BROKER_H

#include "common/cleanup.h"

/*
 * Have the kernel count runs and run time of all BPF programs for as long as
 * the descriptor is open (BPF_ENABLE_STATS, CAP_SYS_ADMIN).  Owned descriptor
 * or -errno.
 */
int broker_enable_stats(void) _must_check_;

#endif
