/* SPDX-License-Identifier: ISC */
/*
 * civetweb, held on a short rein: it reads requests and writes answers in
 * its threads; what it listens on, and what is answered, is decided here.
 */
#ifndef APID_SERVER_H
#define APID_SERVER_H

#include <stddef.h>

#include "apid/routes.h"
#include "common/cleanup.h"

struct event_base;
struct server;

/*
 * Load what civetweb needs.  TLS_DIR: where our stand-ins for OpenSSL's
 * libraries lie (shim_ssl.c), NULL for plain HTTP.  Before the sandbox
 * closes.  0, or -ENOENT with a line for people in TEXT.
 */
int server_load(const char *tls_dir, char *text, size_t size) _must_check_;

/*
 * Start the threads, which answer from ROUTES (borrowed) whatever comes over
 * the listening socket FD (taken, also on failure).  TLS_CTX: of tls_open(),
 * borrowed, or NULL for plain HTTP.  BASE's loop runs in the thread that calls
 * this.  0 or -errno with a line in TEXT; -EAGAIN: for want of threads, of
 * which some may be left over, so that the process had better end.
 */
int server_start(struct server **out, struct event_base *base,
    struct routes *routes, int fd, void *tls_ctx, char *text,
    size_t size) _must_check_;

/* Stop and release; waits for the threads, up to two seconds. */
void server_stop(struct server *server);

#endif
