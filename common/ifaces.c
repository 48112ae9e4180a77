/* SPDX-License-Identifier: ISC */
#include "common/ifaces.h"

#include <errno.h>
#include <string.h>

int
ifaces_check(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	struct iface i;
	size_t n;

	if (len % sizeof(i) != 0 || len / sizeof(i) > IFACES_MAX)
		return -EBADMSG;
	for (n = 0; n < len / sizeof(i); n++, at += sizeof(i)) {
		memcpy(&i, at, sizeof(i));
		/* Any byte but '/' and space may be in a name: it is
		 * compared, and shown by those who escape. */
		if (i.ifindex == 0 || i.flags & ~(uint32_t)IFACE_LOOPBACK ||
		    i.name[0] == '\0' || i.name[sizeof(i.name) - 1] != '\0')
			return -EBADMSG;
	}
	return (int)n;
}
