/* SPDX-License-Identifier: ISC */
/*
 * Which network interfaces there are, by rtnetlink: a socket that is opened
 * before the sandbox closes, and a table that follows what it says.  A table
 * is used by one thread.
 */
#ifndef BPFD_NETDEV_H
#define BPFD_NETDEV_H

#include <stdbool.h>

#include "common/ifaces.h"

struct netdev {
	int fd;
	uint32_t seq;    /* of the dump that goes on, or went last */
	bool dumping;    /* its end has not come */
	bool incomplete; /* it was disturbed: another one is needed */
	bool changed;    /* since the caller last set it to false */
	size_t count;
	size_t room;
	struct iface *list;
	uint32_t *seen; /* the dump that last showed each */
};

/*
 * Open the socket; FOLLOW: it hears of changes and does not block.  0 or
 * -errno.
 */
int netdev_open(struct netdev *n, bool follow) _must_check_;
void netdev_close(struct netdev *n);

/* Ask for all of them; the table is right when the answer is all read. */
int netdev_ask(struct netdev *n) _must_check_;

/* Ask, and wait for the whole answer (no more than seconds). */
int netdev_list(struct netdev *n) _must_check_;

/* Read what is there; asks again by itself where something got lost. */
int netdev_read(struct netdev *n) _must_check_;

/* What netdev_read() does with LEN bytes that came. */
void netdev_apply(struct netdev *n, const void *bytes, size_t len);

#endif
