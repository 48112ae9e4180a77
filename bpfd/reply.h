/* SPDX-License-Identifier: ISC */
/*
 * Telling agentd how a load went, and giving it what it is to keep.
 */
#ifndef BPFD_REPLY_H
#define BPFD_REPLY_H

#include "bpfd/load.h"
#include "common/imsg.h"

/*
 * Send a finished load: programs, maps, links (given away), the verifier's
 * log, and LOAD_DONE last.  All maps go, so that another bpfd can be handed
 * them and count their memory.  0, or -errno when agentd cannot be told.
 */
int reply_send(struct imsg_channel *agentd, struct load *l) _must_check_;

#endif
