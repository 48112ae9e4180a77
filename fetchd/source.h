/* SPDX-License-Identifier: ISC */
/*
 * Where the registry instance gets things from: shared by the polling of
 * the list and the fetching of artifacts.
 */
#ifndef FETCHD_SOURCE_H
#define FETCHD_SOURCE_H

#include "common/msg.h"
#include "common/worker.h"
#include "fetchd/cache.h"
#include "fetchd/http.h"

struct source {
	struct worker *worker;
	const struct msg_fetch_config *config;
	struct http *http;   /* NULL: the registry is a directory: */
	int root;            /* -1 unless it is */
	struct cache *cache; /* NULL: none */
};

#endif
