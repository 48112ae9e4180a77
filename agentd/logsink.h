/* SPDX-License-Identifier: ISC */
/*
 * The log's way out of agentd, which never waits for whoever reads it: a
 * reader that stands still (a stopped logger, a full disk behind a pipe) must
 * not keep a program in the kernel beyond its time.  What cannot be written at
 * once is kept, up to a bound, and written when there is room; what finds no
 * room is counted, and told as soon as the rest is out.
 */
#ifndef AGENTD_LOGSINK_H
#define AGENTD_LOGSINK_H

#include "common/cleanup.h"

#define LOGSINK_MAX (256u << 10) /* bytes that wait to be read */

struct event_base;
struct logsink;

/*
 * All lines of the log go to FD (borrowed) by *OUT from here on.  Of a pipe
 * or terminal an open file of our own is made where that is possible: that it
 * does not block is nobody else's business.  0, -ENOMEM.
 */
int logsink_open(
    struct logsink **out, struct event_base *base, int fd) _must_check_;

/* Write what waits, for half a second at most; then it is as before. */
void logsink_free(struct logsink *sink);

#endif
