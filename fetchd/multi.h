/* SPDX-License-Identifier: ISC */
/*
 * libcurl's multi interface on the event loop: its sockets and its timer
 * become events, and transfers that end are handed out.
 */
#ifndef FETCHD_MULTI_H
#define FETCHD_MULTI_H

#include <curl/curl.h>

#include "common/cleanup.h"

struct event_base;
struct multi;

/*
 * FINISHED is called from the event loop with each transfer that is over and
 * its CURLcode; it may remove, free and add transfers.
 */
int multi_new(struct multi **out, struct event_base *base,
    void (*finished)(CURL *easy, int code)) _must_check_;

/* All transfers must have been removed; also from within FINISHED. */
void multi_free(struct multi *m);

/* Start and stop a transfer; the handle stays the caller's. */
int multi_add(struct multi *m, CURL *easy) _must_check_;
void multi_remove(struct multi *m, CURL *easy);

#endif
