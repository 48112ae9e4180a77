/* SPDX-License-Identifier: ISC */
/*
 * A kernel that does not do all that it is told, or takes its time, and a
 * channel that waits: preloaded into the real bpfd by stubborn_bpfd.c, and into
 * agentd by aegis/stubborn.py.  What bpfd asks is made into what the real
 * kernel refuses.  The switches are bytes of a file, mapped before the sandbox
 * closes; aegis/stubborn.py sets them.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/msg.h"

#define NO_SUCH_PARENT 0xdead0000u

/* Numbers are digits; swaps (BPF_LINK_UPDATE) are counted from 1. */
struct switches {
	char keep_filters;    /* '1': no tc filter is removed */
	char first_swap_lost; /* from this swap of this process on, */
	char next_swap_good;  /* to before this one, each fails */
	char last_swap;       /* this one does not return */
	char hold_done;       /* '1': LOAD_DONE is not sent for now, */
	char held;            /* and it is '1' as soon as something waits */
	char hold_attach;     /* '1': bpfd's BPF_LINK_CREATE waits, */
	char hold_close;      /* or agentd's close(2) of a link */
};

struct removal {
	struct nlmsghdr header;
	struct tcmsg tc;
	uint8_t rest[512];
};

static struct switches none;
static volatile struct switches *switches = &none;
static int is_agentd;

__attribute__((constructor)) static void
map_switches(void)
{
	const char *path = getenv("STUBBORN_SWITCH");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (fd == -1)
		return;
	p = mmap(
	    NULL, sizeof(*switches), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED)
		switches = p;
	(void)close(fd);
	is_agentd = getenv("STUBBORN_AGENTD") != NULL;
	/* Not its workers. */
	(void)unsetenv("STUBBORN_AGENTD");
	(void)unsetenv("LD_PRELOAD");
}

static void
hold(volatile const char *on)
{
	while (*on == '1') {
		switches->held = '1';
		(void)poll(NULL, 0, 10);
	}
}

/* ---- filters ---- */

static int
is_removal(const struct msghdr *msg)
{
	const struct nlmsghdr *h = msg->msg_iov[0].iov_base;
	size_t len = msg->msg_iov[0].iov_len;

	return msg->msg_iovlen == 1 && len >= NLMSG_SPACE(sizeof(int)) &&
	    len <= sizeof(struct removal) && h->nlmsg_len == len &&
	    h->nlmsg_type == RTM_DELTFILTER;
}

static int
is_load_done(const struct msghdr *msg)
{
	uint32_t type;

	/* imsg's header is a piece of its own. */
	if (msg->msg_iovlen != 2 || msg->msg_iov[0].iov_len < sizeof(type))
		return 0;
	memcpy(&type, msg->msg_iov[0].iov_base, sizeof(type));
	return type == MSG_LOAD_DONE;
}

ssize_t
sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct removal removal;
	struct msghdr other;
	struct iovec iov;

	if (is_load_done(msg))
		hold(&switches->hold_done);
	if (switches->keep_filters != '1' || !is_removal(msg))
		return syscall(SYS_sendmsg, fd, msg, flags);
	iov = msg->msg_iov[0];
	memcpy(&removal, iov.iov_base, iov.iov_len);
	removal.tc.tcm_parent = NO_SUCH_PARENT;
	iov.iov_base = &removal;
	other = *msg;
	other.msg_iov = &iov;
	return syscall(SYS_sendmsg, fd, &other, flags);
}

/* ---- links: libbpf calls syscall() itself ---- */

static void
meet_swap(union bpf_attr *attr)
{
	static char number = '0';

	number++;
	if (number == switches->last_swap)
		for (;;)
			(void)poll(NULL, 0, 1000);
	if (number >= switches->first_swap_lost &&
	    number < switches->next_swap_good)
		attr->link_update.link_fd = UINT32_MAX;
}

long
syscall(long call, ...)
{
	static long (*real)(long, ...);
	union bpf_attr attr = { 0 };
	long a[6], size;
	va_list ap;
	size_t i;

	va_start(ap, call);
	for (i = 0; i < sizeof(a) / sizeof(a[0]); i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "syscall");
	if (call == SYS_bpf && a[0] == BPF_LINK_UPDATE) {
		size = a[2] < (long)sizeof(attr) ? a[2] : (long)sizeof(attr);
		memcpy(&attr, (const void *)a[1], (size_t)size);
		meet_swap(&attr);
		a[1] = (long)&attr;
		a[2] = size;
	}
	if (call == SYS_bpf && a[0] == BPF_LINK_CREATE)
		hold(&switches->hold_attach);
	return real(call, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static int
is_link(int fd)
{
	char path[64], is[64];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, is, sizeof(is));
	return n > 0 && (size_t)n == strlen("anon_inode:bpf_link") &&
	    memcmp(is, "anon_inode:bpf_link", (size_t)n) == 0;
}

int
close(int fd)
{
	if (is_agentd && switches->hold_close == '1' && is_link(fd))
		hold(&switches->hold_close);
	return (int)syscall(SYS_close, fd);
}
