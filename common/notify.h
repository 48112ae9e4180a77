/* SPDX-License-Identifier: ISC */
/*
 * Telling the service manager how it goes: sd_notify(3)'s datagrams, without
 * libsystemd.  The socket is opened at start, before the sandbox closes.
 * Where no manager asked ($NOTIFY_SOCKET), there is no struct notify, and all
 * functions take NULL and do nothing.
 */
#ifndef COMMON_NOTIFY_H
#define COMMON_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"

struct notify;

/*
 * Open the socket that $NOTIFY_SOCKET names: a path, or '@' and an abstract
 * name.  Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the
 * environment, so that no child takes them for its own.  0 with *OUT, owned,
 * or NULL where the variable is not set; -errno, with *OUT NULL, when it
 * names nothing that can be reached (-EINVAL: not such a name).
 */
int notify_open(struct notify **out) _must_check_;
void notify_free(struct notify *n);

/* For the event loop's sandbox and descriptor bookkeeping; -1 if N is NULL. */
int notify_fd(const struct notify *n);

/*
 * How often the manager wants notify_watchdog(), in nanoseconds; 0: not at
 * all, or not from this process.  Twice as often is what one does.
 */
int64_t notify_watchdog_ns(const struct notify *n);

/*
 * STATUS: one line for "systemctl status", or NULL.  A full queue is waited
 * for up to a second where the word must arrive (ready, reloading, stopping);
 * other words are dropped then.  0 or -errno.
 */
int notify_ready(struct notify *n, const char *status);
int notify_reloading(struct notify *n);
int notify_stopping(struct notify *n, const char *status);
int notify_status(struct notify *n, const char *fmt, ...) _printf_(2, 3);
int notify_watchdog(struct notify *n);

/*
 * Let the manager keep a copy of FD (borrowed) over a restart, as NAME
 * (letters, digits, '-', '_').  POLL false (FDPOLL=0) for descriptors that
 * would poll as broken at once: BPF maps.  remove: let go of all of NAME.
 */
int notify_store_fd(
    struct notify *n, const char *name, int fd, bool poll) _must_check_;
int notify_remove_fd(struct notify *n, const char *name);

/*
 * Wait until the manager has dealt with all that was said before.  0,
 * -ETIMEDOUT after LIMIT_MSEC, or -errno.
 */
int notify_barrier(struct notify *n, int limit_msec) _must_check_;

#endif
