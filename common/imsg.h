/* SPDX-License-Identifier: ISC */
/*
 * The channel between agentd and one other process: typed messages of fixed
 * layout, each with at most one descriptor, over SOCK_SEQPACKET, so that one
 * recvmsg(2) is one message with its own descriptor.
 *
 * What may be said is the table in msg.def.  A message that is not in it,
 * goes the wrong way, has another size, or brings or lacks a descriptor
 * against the table never reaches a handler: the channel is closed and its
 * owner is told.  So handlers check values only.
 */
#ifndef COMMON_IMSG_H
#define COMMON_IMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/proc.h"

struct event_base;
struct imsg_channel;

/* The largest payload; msg.c asserts that every message fits. */
#define IMSG_MAX_PAYLOAD 8192

/* Bytes that may wait for a peer that does not read before sends fail. */
#define IMSG_HIGH_WATER (8u << 20)

struct imsg {
	uint32_t type;    /* enum msg_type */
	uint64_t id;      /* what the message is about; 0 where nothing */
	const void *data; /* exactly the size the table says; 8-aligned */
	int fd;           /* borrowed; take it with imsg_take_fd() */
};

/*
 * Handle one message.  M and its payload live until the return; the
 * descriptor is closed then unless taken.  0, or a negative errno when a
 * VALUE breaks the rules: the channel is then closed as for a schema breach.
 */
typedef int (*imsg_handler)(struct imsg *m, void *ctx);

/*
 * The channel is finished: REASON 0, the peer closed it and all it had said
 * was handled; -EPROTO, the peer broke the schema (TEXT says how); else a
 * negative errno of the socket.  The owner frees the channel, here or later.
 */
typedef void (*imsg_closed)(int reason, const char *text, void *ctx);

/* A pair of sockets as channels want them: SEQPACKET, non-blocking, CLOEXEC. */
int imsg_socketpair(int sv[2]) _must_check_;

/*
 * A channel on the socket FD (takes it, also on failure) from SELF to PEER.
 * HANDLERS has MSG_TYPE_MAX entries by message type; a message without a
 * handler is a schema breach.  Returns -errno on failure.
 */
int imsg_open(struct imsg_channel **out, struct event_base *base, int fd,
    enum proc_role self, enum proc_role peer, const imsg_handler *handlers,
    imsg_closed closed, void *ctx) _must_check_;

/* Close and release; messages that wait are dropped.  NULL is ignored. */
void imsg_free(struct imsg_channel *ch);

/*
 * Send, or queue when the peer is slow.  Consumes FD (-1: none) whether or
 * not it succeeds.  -ENOBUFS: the peer is IMSG_HIGH_WATER behind; -EPIPE:
 * the channel is finished.  Use the typed msg_send_*() of msg.h.
 */
int imsg_send(struct imsg_channel *ch, uint32_t type, uint64_t id,
    const void *data, size_t len, int fd) _must_check_;

/* Take the descriptor out of a message: owned by the caller; -1 if none. */
int imsg_take_fd(struct imsg *m);

/* Bytes and messages that wait for the peer. */
size_t imsg_backlog(const struct imsg_channel *ch);

/* True if the peer has not read all that was sent to it. */
bool imsg_has_unread(const struct imsg_channel *ch);

/*
 * Read and handle all that is there already, without waiting: before the
 * state of a peer that died is reaped (SIGCHLD may beat its last message).
 */
void imsg_drain(struct imsg_channel *ch);

/*
 * Write what waits, blocking up to TIMEOUT_MS; for a last message before
 * exit.  0, or -ETIMEDOUT, or -errno.
 */
int imsg_flush(struct imsg_channel *ch, int timeout_ms) _must_check_;

#endif
