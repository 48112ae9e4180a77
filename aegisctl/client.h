/* SPDX-License-Identifier: ISC */
/*
 * The operator's end of agentd's control socket: one request, one reply, and
 * with a reply perhaps a snapshot.
 */
#ifndef AEGISCTL_CLIENT_H
#define AEGISCTL_CLIENT_H

#include "common/cleanup.h"
#include "common/memfd.h"
#include "common/msg.h"
#include "common/snapshot.h"

/* How long agentd may take to answer; it decides, it does not work. */
#define CLIENT_TIMEOUT_SEC 10

struct client_reply {
	int result; /* 0 or a negative errno, agentd's */
	char text[sizeof(((struct msg_ctl_reply *)0)->text)];
	struct memfd_map map;
	struct snapshot snapshot; /* header NULL where none came */
};

/*
 * Ask the agentd behind the socket at PATH.  0 when it answered: see
 * REPLY->result; else -errno with a line for people in REPLY->text:
 * -ENOENT, -ECONNREFUSED nobody listens; -EACCES not permitted; -ETIMEDOUT
 * no answer; -EPROTO an agentd of another build, or no agentd at all.
 */
int client_ask(const char *path, const struct msg_ctl_request *request,
    struct client_reply *reply) _must_check_;

/* The two halves of it: an owned descriptor, or as above. */
int client_connect(const char *path, struct client_reply *reply) _must_check_;
int client_read_snapshot(struct client_reply *reply, int fd) _must_check_;

void client_reply_clear(struct client_reply *reply);

#endif
