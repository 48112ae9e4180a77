/* SPDX-License-Identifier: ISC */
/*
 * A kernel that removes no tc filter while it is told not to: preloaded into
 * the real bpfd by stubborn_bpfd.c.  What bpfd asks is made into what the
 * real kernel refuses.  The switch is a byte of a file, mapped before the
 * sandbox closes.
 */
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NO_SUCH_PARENT 0xdead0000u

struct removal {
	struct nlmsghdr header;
	struct tcmsg tc;
	uint8_t rest[512];
};

static const volatile char *refuses = "0";

__attribute__((constructor)) static void
map_switch(void)
{
	const char *path = getenv("STUBBORN_SWITCH");
	int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *p;

	if (fd == -1)
		return;
	p = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED)
		refuses = p;
	(void)close(fd);
}

static int
is_removal(const struct msghdr *msg)
{
	const struct nlmsghdr *h = msg->msg_iov[0].iov_base;
	size_t len = msg->msg_iov[0].iov_len;

	return msg->msg_iovlen == 1 && len >= NLMSG_SPACE(sizeof(int)) &&
	    len <= sizeof(struct removal) && h->nlmsg_len == len &&
	    h->nlmsg_type == RTM_DELTFILTER;
}

ssize_t
sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct removal removal;
	struct msghdr other;
	struct iovec iov;

	if (*refuses != '1' || !is_removal(msg))
		return syscall(SYS_sendmsg, fd, msg, flags);
	iov = msg->msg_iov[0];
	memcpy(&removal, iov.iov_base, iov.iov_len);
	removal.tc.tcm_parent = NO_SUCH_PARENT;
	iov.iov_base = &removal;
	other = *msg;
	other.msg_iov = &iov;
	return syscall(SYS_sendmsg, fd, &other, flags);
}
