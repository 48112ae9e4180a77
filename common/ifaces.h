/* SPDX-License-Identifier: ISC */
/*
 * The host's network interfaces as bpfd tells agentd: flat records in a
 * sealed memfd, all there are each time, so that nothing depends on what was
 * told before.
 */
#ifndef COMMON_IFACES_H
#define COMMON_IFACES_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/limits.h"

#define IFACES_MAX 16384

enum iface_flags { IFACE_LOOPBACK = 1 << 0 };

struct iface {
	uint32_t ifindex; /* not 0 */
	uint32_t flags;   /* enum iface_flags */
	char name[AEGIS_IFNAME_SIZE];
};

/*
 * Check LEN bytes of records at BYTES.  Their number, or -EBADMSG.
 */
int ifaces_check(const void *bytes, size_t len) _must_check_;

#endif
