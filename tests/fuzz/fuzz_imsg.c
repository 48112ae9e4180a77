/* SPDX-License-Identifier: ISC */
/*
 * What a taken-over peer may write into its channel.  The first byte picks
 * who is who; then records: length (2 bytes, little endian), descriptors to
 * send along (1 byte, modulo 4), bytes.  Whatever comes: a handler sees only
 * what the table allows, and no descriptor stays.
 */
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct peer {
	enum proc_role self;
	enum proc_role role;
	int closed;
};

static int
check_message(struct imsg *m, void *ctx)
{
	const struct msg_row *row = msg_row(m->type);
	const unsigned char *p = m->data;
	struct peer *peer = ctx;
	volatile unsigned char sum = 0;
	uint32_t i;

	if (row == NULL || !(row->senders & PROC_BIT(peer->role)) ||
	    !(row->receivers & PROC_BIT(peer->self)) || peer->closed)
		abort();
	if ((row->fd == MSG_FD_NONE && m->fd != -1) ||
	    (row->fd == MSG_FD_ONE && m->fd == -1))
		abort();
	for (i = 0; i < row->size; i++)
		sum = (unsigned char)(sum + p[i]);
	/* Some handlers take, some refuse, most do neither. */
	if (sum % 8 == 1 && m->fd != -1)
		(void)close(imsg_take_fd(m));
	return sum % 16 == 2 ? -EINVAL : 0;
}

static void
count_end(int reason, const char *text, void *ctx)
{
	struct peer *peer = ctx;

	if (peer->closed++ || text == NULL)
		abort();
}

static void
send_record(int sock, const uint8_t *bytes, size_t len, unsigned int fds)
{
	union {
		char buf[CMSG_SPACE(3 * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)bytes, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	static const int some[3] = { 0, 0, 0 };
	struct cmsghdr *c;

	if (fds > 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fds * sizeof(int));
		memcpy(CMSG_DATA(c), some, fds * sizeof(int));
	}
	if (sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == -1)
		return; /* closed by then, or the queue is full */
}

static int
lowest_free_fd(void)
{
	int fd = dup(0);

	(void)close(fd);
	return fd;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static imsg_handler handlers[MSG_TYPE_MAX];
	struct imsg_channel *ch;
	struct event_base *base;
	struct peer peer = { 0 };
	int sv[2], before = lowest_free_fd();
	size_t i, len;

	if (size < 1)
		return 0;
	/* agentd hears a peer, or a peer hears agentd. */
	peer.role = (enum proc_role)((data[0] >> 1) % PROC_MAX);
	if (data[0] & 1) {
		peer.self = peer.role;
		peer.role = PROC_AGENTD;
	}
	for (i = 1; i < MSG_TYPE_MAX; i++)
		handlers[i] = check_message;
	base = event_base_new();
	if (base == NULL || imsg_socketpair(sv) < 0 ||
	    imsg_open(&ch, base, sv[0], peer.self, peer.role, handlers,
		count_end, &peer) < 0)
		abort();
	for (i = 1; i + 3 <= size; i += len) {
		len = (size_t)data[i] | (size_t)data[i + 1] << 8;
		i += 3;
		if (len > size - i)
			len = size - i;
		send_record(sv[1], data + i, len, data[i - 1] % 4);
		imsg_drain(ch);
	}
	(void)close(sv[1]);
	imsg_drain(ch);
	if (peer.closed != 1)
		abort();
	imsg_free(ch);
	event_base_free(base);
	if (lowest_free_fd() != before)
		abort();
	return 0;
}
