/* SPDX-License-Identifier: ISC */
/*
 * Asking rtnetlink, and others that speak netlink: one request at a time on a
 * socket that was opened before the sandbox closed (libbpf and libmnl open one
 * for each call).
 */
#ifndef BPFD_RTNL_H
#define BPFD_RTNL_H

#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

#define RTNL_TEXT_SIZE 128

struct rtnl_request {
	union {
		struct nlmsghdr header;
		uint8_t bytes[512];
	};
};

/* An owned socket of NETLINK_ROUTE or another PROTOCOL, or -errno. */
int rtnl_open(int protocol) _must_check_;

/* Begin with BODY of LEN bytes, which follows the header. */
void rtnl_init(struct rtnl_request *r, uint16_t type, uint16_t flags,
    const void *body, size_t len);
/* Attributes; what does not fit ends the process: sizes are the code's. */
void rtnl_add(
    struct rtnl_request *r, uint16_t type, const void *data, size_t len);
void rtnl_add_u32(struct rtnl_request *r, uint16_t type, uint32_t value);
/* Those added between the two are inside of it. */
struct rtattr *rtnl_nest(struct rtnl_request *r, uint16_t type);
void rtnl_nest_end(struct rtnl_request *r, struct rtattr *nest);

/* For each message of the answer. */
typedef void (*rtnl_each)(const struct nlmsghdr *h, void *ctx);

/*
 * Send, and wait for the end of the answer (no more than seconds).  0, or
 * -errno: the kernel's, with its own words in TEXT (RTNL_TEXT_SIZE; "" if it
 * has none; may be NULL), or -EINTR: a dump was disturbed and is to be asked
 * for again.
 */
int rtnl_ask(int fd, struct rtnl_request *r, rtnl_each each, void *ctx,
    char *text) _must_check_;

/*
 * Some messages of the kernel into BUF: their length, 0 if they were somebody
 * else's, or -errno.  *CUT: there were more than SIZE bytes.
 */
ssize_t rtnl_receive(int fd, void *buf, size_t size, bool *cut) _must_check_;

/*
 * The place after message H, and what is left of *LEFT bytes there: NLMSG_NEXT
 * goes below 0 where the padding of the last one is missing.
 */
static inline const struct nlmsghdr *
rtnl_next(const struct nlmsghdr *h, size_t *left)
{
	size_t step = NLMSG_ALIGN(h->nlmsg_len);

	*left = step < *left ? *left - step : 0;
	return (
	    const struct nlmsghdr *)(const void *)((const uint8_t *)h + step);
}

/* The attributes of a message after its body; *LEN: their bytes. */
const struct rtattr *rtnl_attrs(
    const struct nlmsghdr *h, size_t body, size_t *len);

/* The first one of TYPE with at least MIN bytes in it; NULL: none. */
const struct rtattr *rtnl_find(
    const struct rtattr *attrs, size_t len, uint16_t type, size_t min);

/* Its value, where MIN was 4. */
uint32_t rtnl_u32(const struct rtattr *attr);

/* The words in a kernel's error message, cut to RTNL_TEXT_SIZE; "". */
void rtnl_words(const struct nlmsghdr *h, char *text);

#endif
