/* SPDX-License-Identifier: ISC */
/*
 * The listening socket.  It is ours and not civetweb's: Debian builds
 * civetweb without IPv6, its messages about a failed bind are poor, and it
 * has no way to leave silent connections in the kernel.
 */
#ifndef APID_LISTEN_H
#define APID_LISTEN_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

/*
 * Listen on PORT of ADDRESS, an IPv4 or IPv6 address without brackets, or
 * "" for every address of both families (of IPv4 alone where the kernel has
 * no IPv6).  An owned descriptor, or -errno with a line for people in TEXT.
 */
int listen_open(
    const char *address, uint16_t port, char *text, size_t size) _must_check_;

#endif
