/* SPDX-License-Identifier: ISC */
#include "bpfd/rtnl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "common/clock.h"
#include "common/strnum.h"

int
rtnl_open(int protocol)
{
	const struct sockaddr_nl addr = { .nl_family = AF_NETLINK };
	/* The kernel answers at once; this is for what cannot be. */
	const struct timeval limit = { .tv_sec = 5 };
	_cleanup_fd_ int fd = -1;
	int one = 1;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	if (fd == -1 ||
	    bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ==
		-1)
		return -errno;
	/* The kernel says what it does not like; older ones do not. */
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	return fd_steal(&fd);
}

/* ---- requests ---- */

void
rtnl_init(struct rtnl_request *r, uint16_t type, uint16_t flags,
    const void *body, size_t len)
{
	memset(r, 0, sizeof(*r));
	r->header.nlmsg_type = type;
	r->header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	r->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(len);
	memcpy(NLMSG_DATA(&r->header), body, len);
}

void
rtnl_add(struct rtnl_request *r, uint16_t type, const void *data, size_t len)
{
	size_t at = NLMSG_ALIGN(r->header.nlmsg_len);
	struct rtattr *attr = (struct rtattr *)(void *)(r->bytes + at);

	if (at + RTA_SPACE(len) > sizeof(r->bytes))
		abort();
	attr->rta_type = type;
	attr->rta_len = (uint16_t)RTA_LENGTH(len);
	if (len > 0)
		memcpy(RTA_DATA(attr), data, len);
	r->header.nlmsg_len = (uint32_t)(at + RTA_LENGTH(len));
}

void
rtnl_add_u32(struct rtnl_request *r, uint16_t type, uint32_t value)
{
	rtnl_add(r, type, &value, sizeof(value));
}

struct rtattr *
rtnl_nest(struct rtnl_request *r, uint16_t type)
{
	size_t at = NLMSG_ALIGN(r->header.nlmsg_len);

	rtnl_add(r, type | NLA_F_NESTED, NULL, 0);
	return (struct rtattr *)(void *)(r->bytes + at);
}

void
rtnl_nest_end(struct rtnl_request *r, struct rtattr *nest)
{
	nest->rta_len = (uint16_t)(r->bytes + NLMSG_ALIGN(r->header.nlmsg_len) -
	    (uint8_t *)nest);
	r->header.nlmsg_len = NLMSG_ALIGN(r->header.nlmsg_len);
}

/* ---- answers ---- */

const struct rtattr *
rtnl_attrs(const struct nlmsghdr *h, size_t body, size_t *len)
{
	*len = 0;
	if (h->nlmsg_len < NLMSG_SPACE(body))
		return NULL;
	*len = h->nlmsg_len - NLMSG_SPACE(body);
	return (const struct rtattr *)((const uint8_t *)h + NLMSG_SPACE(body));
}

const struct rtattr *
rtnl_find(const struct rtattr *attrs, size_t len, uint16_t type, size_t min)
{
	const struct rtattr *a;
	int left = (size_t)len; /* below 0 after the padding of the last one */

	for (a = attrs; a != NULL && RTA_OK(a, left); a = RTA_NEXT(a, left))
		if ((a->rta_type & NLA_TYPE_MASK) == type)
			return RTA_PAYLOAD(a) >= min ? a : NULL;
	return NULL;
}

uint32_t
rtnl_u32(const struct rtattr *attr)
{
	uint32_t value;

	memcpy(&value, RTA_DATA(attr), sizeof(value));
	return value;
}

void
rtnl_words(const struct nlmsghdr *h, char *text)
{
	const struct nlmsgerr *e = NLMSG_DATA(h);
	const struct rtattr *a;
	size_t skip = sizeof(*e), len, n;

	text[0] = '\0';
	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*e)) ||
	    !(h->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	/* What was asked is repeated, unless the kernel left it out. */
	if (!(h->nlmsg_flags & NLM_F_CAPPED)) {
		if (e->msg.nlmsg_len < sizeof(e->msg))
			return;
		skip += NLMSG_ALIGN(e->msg.nlmsg_len - sizeof(e->msg));
	}
	a = rtnl_attrs(h, skip, &len);
	a = rtnl_find(a, len, NLMSGERR_ATTR_MSG, 1);
	if (a == NULL)
		return;
	n = RTA_PAYLOAD(a) < RTNL_TEXT_SIZE ? RTA_PAYLOAD(a)
					    : RTNL_TEXT_SIZE - 1;
	memcpy(text, RTA_DATA(a), n);
	text[n] = '\0';
	str_scrub(text, RTNL_TEXT_SIZE);
}

/* False: it is the last one, and *R is the result. */
static bool
take(const struct nlmsghdr *h, rtnl_each each, void *ctx, char *text, int *r)
{
	const struct nlmsgerr *e = NLMSG_DATA(h);

	if (h->nlmsg_flags & NLM_F_DUMP_INTR)
		*r = -EINTR;
	if (h->nlmsg_type == NLMSG_ERROR) {
		if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*e)))
			*r = -EBADMSG;
		else if (e->error != 0)
			*r = e->error;
		if (text != NULL)
			rtnl_words(h, text);
		return false;
	}
	if (h->nlmsg_type == NLMSG_DONE) {
		/* A dump that failed on its way. */
		if (h->nlmsg_len >= NLMSG_LENGTH(sizeof(e->error)) &&
		    e->error < 0)
			*r = e->error;
		return false;
	}
	if (each != NULL)
		each(h, ctx);
	return true;
}

/* sendto() and recvfrom() are not in bpfd's row: these two are. */
static int
send_request(int fd, struct rtnl_request *r)
{
	struct iovec iov = {
		.iov_base = r->bytes,
		.iov_len = r->header.nlmsg_len,
	};
	const struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	return sendmsg(fd, &msg, MSG_NOSIGNAL) == -1 ? -errno : 0;
}

ssize_t
rtnl_receive(int fd, void *buf, size_t size, bool *cut)
{
	struct sockaddr_nl from = { 0 };
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	struct msghdr msg = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};
	ssize_t len = recvmsg(fd, &msg, 0);

	*cut = false;
	if (len == -1)
		return -errno;
	if (from.nl_pid != 0) /* not the kernel */
		return 0;
	*cut = (msg.msg_flags & MSG_TRUNC) != 0;
	return len;
}

int
rtnl_ask(int fd, struct rtnl_request *r, rtnl_each each, void *ctx, char *text)
{
	_Alignas(struct nlmsghdr) uint8_t buf[32768];
	/* An answer to one that was given up is none. */
	const uint32_t seq = (uint32_t)clock_boot_ns();
	const struct nlmsghdr *h;
	size_t left;
	ssize_t len;
	int result;
	bool cut;

	if (text != NULL)
		text[0] = '\0';
	r->header.nlmsg_seq = seq;
	/* Its bits have other meanings where something is made. */
	if ((r->header.nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
		r->header.nlmsg_flags |= NLM_F_ACK;
	result = send_request(fd, r);
	if (result < 0)
		return result;
	for (;;) {
		len = rtnl_receive(fd, buf, sizeof(buf), &cut);
		if (len == -EINTR)
			continue;
		if (len < 0)
			return (int)len;
		if (cut)
			return -EMSGSIZE;
		left = (size_t)len;
		for (h = (const struct nlmsghdr *)(void *)buf;
		     NLMSG_OK(h, left); h = rtnl_next(h, &left))
			if (h->nlmsg_seq == seq &&
			    !take(h, each, ctx, text, &result))
				return result;
	}
}
