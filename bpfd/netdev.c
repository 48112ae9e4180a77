/* SPDX-License-Identifier: ISC */
#include "bpfd/netdev.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "bpfd/rtnl.h"

#define SKIP_STATS   (1 << 3) /* RTEXT_FILTER_SKIP_STATS */
#define DUMPS_MAX    8
#define READS_A_WAKE 256

int
netdev_open(struct netdev *n, bool follow)
{
	const struct sockaddr_nl addr = {
		.nl_family = AF_NETLINK,
		.nl_groups = follow ? RTMGRP_LINK : 0,
	};
	/* The kernel answers at once; this is for what cannot be. */
	const struct timeval limit = { .tv_sec = 5 };
	int r;

	memset(n, 0, sizeof(*n));
	n->fd = socket(AF_NETLINK,
	    SOCK_RAW | SOCK_CLOEXEC | (follow ? SOCK_NONBLOCK : 0),
	    NETLINK_ROUTE);
	if (n->fd == -1)
		return -errno;
	if (bind(n->fd, (const struct sockaddr *)&addr, sizeof(addr)) == -1 ||
	    setsockopt(n->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ==
		-1) {
		r = -errno;
		netdev_close(n);
		return r;
	}
	return 0;
}

void
netdev_close(struct netdev *n)
{
	fd_close(&n->fd);
	free(n->list);
	free(n->seen);
	n->list = NULL;
	n->seen = NULL;
	n->count = n->room = 0;
}

int
netdev_ask(struct netdev *n)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
		struct rtattr attr;
		uint32_t mask;
	} request = {
		.header = {
			.nlmsg_len = sizeof(request),
			.nlmsg_type = RTM_GETLINK,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
			.nlmsg_seq = ++n->seq,
		},
		.attr = {
			.rta_len = RTA_LENGTH(sizeof(request.mask)),
			.rta_type = IFLA_EXT_MASK,
		},
		.mask = SKIP_STATS,
	};
	struct iovec iov = { .iov_base = &request, .iov_len = sizeof(request) };
	const struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	n->dumping = true;
	n->incomplete = false;
	return sendmsg(n->fd, &msg, MSG_NOSIGNAL) == -1 ? -errno : 0;
}

static size_t
find(const struct netdev *n, uint32_t ifindex)
{
	size_t i;

	for (i = 0; i < n->count && n->list[i].ifindex != ifindex; i++)
		continue;
	return i;
}

static void
forget(struct netdev *n, size_t i)
{
	n->list[i] = n->list[--n->count];
	n->seen[i] = n->seen[n->count];
	n->changed = true;
}

static void
put(struct netdev *n, const struct iface *one)
{
	size_t i = find(n, one->ifindex), room;
	struct iface *list;
	uint32_t *seen;

	if (i == n->count) {
		if (n->count == IFACES_MAX)
			return;
		if (n->count == n->room) {
			room = n->room * 2 + 16;
			list = reallocarray(n->list, room, sizeof(*list));
			if (list != NULL)
				n->list = list;
			seen = reallocarray(n->seen, room, sizeof(*seen));
			if (seen != NULL)
				n->seen = seen;
			if (list == NULL || seen == NULL)
				return;
			n->room = room;
		}
		n->count++;
		n->changed = true;
	} else if (memcmp(&n->list[i], one, sizeof(*one)) != 0) {
		n->changed = true;
	}
	n->list[i] = *one;
	n->seen[i] = n->seq;
}

/* The interface of a message; false: it names none. */
static bool
parse(const struct nlmsghdr *h, struct iface *one)
{
	const struct ifinfomsg *info = NLMSG_DATA(h);
	const struct rtattr *attr;
	/* Signed: the padding of the last one may be more than is there. */
	int left;
	size_t len;

	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*info)))
		return false;
	/* A bridge tells of its ports as if they were links of its own:
	 * one that leaves it is not gone. */
	if (info->ifi_family != AF_UNSPEC || info->ifi_index <= 0)
		return false;
	memset(one, 0, sizeof(*one));
	one->ifindex = (uint32_t)info->ifi_index;
	if (info->ifi_flags & IFF_LOOPBACK)
		one->flags = IFACE_LOOPBACK;
	left = (int)IFLA_PAYLOAD(h);
	for (attr = IFLA_RTA(info); RTA_OK(attr, left);
	     attr = RTA_NEXT(attr, left)) {
		if (attr->rta_type != IFLA_IFNAME)
			continue;
		len = RTA_PAYLOAD(attr);
		if (len > sizeof(one->name))
			return false;
		memcpy(one->name, RTA_DATA(attr), len);
		one->name[sizeof(one->name) - 1] = '\0';
	}
	return one->name[0] != '\0';
}

static void
end_of_dump(struct netdev *n)
{
	size_t i;

	n->dumping = false;
	if (n->incomplete)
		return;
	for (i = n->count; i-- > 0;)
		if (n->seen[i] != n->seq)
			forget(n, i);
}

void
netdev_apply(struct netdev *n, const void *bytes, size_t len)
{
	const struct nlmsghdr *h;
	struct iface one;
	size_t i;

	for (h = bytes; NLMSG_OK(h, len); h = rtnl_next(h, &len)) {
		if (h->nlmsg_flags & NLM_F_DUMP_INTR)
			n->incomplete = true;
		switch (h->nlmsg_type) {
		case NLMSG_ERROR:
			n->incomplete = true;
			__attribute__((fallthrough));
		case NLMSG_DONE:
			if (h->nlmsg_seq == n->seq)
				end_of_dump(n);
			break;
		case RTM_NEWLINK:
			if (parse(h, &one))
				put(n, &one);
			break;
		case RTM_DELLINK:
			if (!parse(h, &one))
				break;
			i = find(n, one.ifindex);
			if (i < n->count)
				forget(n, i);
			break;
		default:
			break;
		}
	}
}

/* As rtnl_receive(), and what is cut is asked for again. */
static ssize_t
receive(struct netdev *n, uint8_t *buf, size_t size)
{
	bool cut;
	ssize_t len = rtnl_receive(n->fd, buf, size, &cut);

	if (cut)
		n->incomplete = true;
	return len;
}

/* Once a wake, and no more than so many in a row. */
int
netdev_read(struct netdev *n)
{
	_Alignas(struct nlmsghdr) uint8_t buf[32768];
	unsigned int i;
	bool lost = false;
	ssize_t len;

	for (i = 0; i < READS_A_WAKE; i++) {
		len = receive(n, buf, sizeof(buf));
		if (len == -EAGAIN)
			break;
		if (len == -ENOBUFS)
			lost = n->incomplete = true;
		else if (len < 0 && len != -EINTR)
			return (int)len;
		else if (len > 0)
			netdev_apply(n, buf, (size_t)len);
	}
	if (lost || (n->incomplete && !n->dumping))
		return netdev_ask(n);
	return 0;
}

int
netdev_list(struct netdev *n)
{
	_Alignas(struct nlmsghdr) uint8_t buf[32768];
	unsigned int tries = 0;
	ssize_t len;
	int r;

	do {
		r = netdev_ask(n);
		while (r == 0 && n->dumping) {
			len = receive(n, buf, sizeof(buf));
			if (len == -EINTR)
				continue;
			if (len < 0)
				r = (int)len;
			else
				netdev_apply(n, buf, (size_t)len);
		}
	} while (r == 0 && n->incomplete && ++tries < DUMPS_MAX);
	return r;
}
