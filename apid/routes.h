/* SPDX-License-Identifier: ISC */
/*
 * From a request to its answer: the paths, the methods, the token, and the
 * documents, each rendered at most once a second and snapshot, however many
 * ask for it.
 */
#ifndef APID_ROUTES_H
#define APID_ROUTES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "apid/answer.h"
#include "apid/store.h"

/* What of a request matters here; absent headers are NULL. */
struct request {
	const char *method;
	const char *path; /* decoded, without the query */
	const char *authorization;
	const char *accept;
	const char *accept_encoding;
	const char *if_none_match;
	bool has_body;
};

/* The part of the answer's bytes to send. */
struct reply {
	struct answer *answer; /* a reference, owned by the caller */
	const char *bytes;
	size_t len;
	unsigned int status;
	bool close; /* the connection must end */
};

/* The documents of the API, and the two further forms of the metrics. */
enum slot_kind {
	SLOT_HEALTHZ = 0, /* in the order of enum render_doc */
	SLOT_STATUS,
	SLOT_METRICS,
	SLOT_PROGRAMS,
	SLOT_ROLLBACKS,
	SLOT_TELEMETRY,
	SLOT_VERSION,
	SLOT_PROMETHEUS,
	SLOT_OPENMETRICS,
	SLOT_MAX
};

/* A document that was rendered, until its second or snapshot is over. */
struct slot {
	pthread_mutex_t lock;
	struct answer *plain;
	struct answer *gzip; /* NULL until somebody asks for it */
	uint64_t generation;
	int64_t boot_sec;
};

struct routes {
	struct store *store;
	const char *token; /* NULL: none is asked for */
	const char *host_id;
	struct slot slots[SLOT_MAX];
	atomic_uint_least64_t renders; /* how often a document was made */
};

void routes_init(struct routes *rt, struct store *store, const char *host_id);
void routes_clear(struct routes *rt);

/*
 * Answer REQ.  Called by any thread.  0 or -ENOMEM; REPLY is filled in on
 * success, and its answer lives until answer_unref().
 */
int routes_answer(struct routes *rt, const struct request *req,
    struct reply *reply) _must_check_;

/* 405; CLOSE: the connection ends with it.  Owned; NULL: no memory. */
struct answer *routes_refuse_method(bool close);

#endif
