/* SPDX-License-Identifier: ISC */
/*
 * When many connections are open, those to which nothing was sent for the
 * longest are ended, so that slow clients do not use up civetweb's threads:
 * a request that does not become complete, a TLS handshake that does not go
 * on, a reader that does not read and a connection kept for a next request
 * look the same from here.
 */
#ifndef APID_CROWD_H
#define APID_CROWD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

/* Of civetweb's threads, one a connection, the rest is for who comes next. */
#define CROWD_MAX 192

/* Whoever was served less than this ago is not slow, */
#define CROWD_IDLE_MS 50
/* nor who waits for us to read, unless it is for another reason so long. */
#define CROWD_UNREAD_MS 1000

struct event_base;
struct crowd;

struct crowd_member {
	int fd;
	uint32_t idle_ms; /* since something was sent to it */
	bool unread;      /* something that it sent is not read yet */
};

/* Watch the connections of this process.  0 or -errno. */
int crowd_open(struct crowd **out, struct event_base *base) _must_check_;

/* Release; no thread may call crowd_note() any more. */
void crowd_close(struct crowd *crowd);

/* A connection has come.  From any thread. */
void crowd_note(struct crowd *crowd);

/*
 * Put those that are to be ended first among COUNT members, and return how
 * many they are: none while there is room, else the idlest of the slow.
 */
size_t crowd_choose(struct crowd_member *members, size_t count);

#endif
