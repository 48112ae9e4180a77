/* SPDX-License-Identifier: ISC */
/*
 * The event stream for operators (aegisctl events): what telemd is told, to
 * whoever follows on the control socket, and the last of it for whoever asks.
 *
 * Nobody here may hold agentd up or make it grow: followers are few, one that
 * does not read gets no more once it is a megabyte behind, is told so, and is
 * hung up on if that does not help.
 */
#ifndef AGENTD_FEED_H
#define AGENTD_FEED_H

#include <stdbool.h>

#include "common/msg.h"

/* How many may follow at once. */
#define FEED_FOLLOWERS_MAX 8

/* Events kept for those who ask; samples and heartbeats are not. */
#define FEED_HISTORY 128

/* Bytes that may wait for a follower: some 180 events. */
#define FEED_BACKLOG_MAX (1u << 20)

/* So long has one that was told that it is behind to read the rest. */
#define FEED_GRACE_SEC 5

struct feed;

/* Exits when out of memory. */
struct feed *feed_new(void);
void feed_free(struct feed *feed);

/*
 * An event, NUMBER of the queue to telemd; VERIFIER_LOG is borrowed, or -1.
 * KEEP: into the history too.
 */
void feed_add(struct feed *feed, uint64_t number, const struct msg_event *event,
    int verifier_log, bool keep);

/*
 * Send the last LAST events that are kept to CHANNEL, and then either all
 * that come (FOLLOW) until feed_leave(), or EVENTS_END with ID.  HANG_UP is
 * called with OWNER for a follower that does not read; it frees the channel
 * and ends in feed_leave().  -EBUSY: too many follow already.
 */
int feed_join(struct feed *feed, struct imsg_channel *channel, uint64_t id,
    uint32_t last, bool follow, void (*hang_up)(void *owner),
    void *owner) _must_check_;

/* OWNER goes; it need not follow. */
void feed_leave(struct feed *feed, const void *owner);

#endif
