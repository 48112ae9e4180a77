/* SPDX-License-Identifier: ISC */
/*
 * An answer as it goes over the wire: status line, headers and body in one
 * piece, built once and sent with one write to as many clients as ask for
 * it.  Answers are counted, so that a client that is slow keeps its answer
 * while newer ones replace it.
 */
#ifndef APID_ANSWER_H
#define APID_ANSWER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

#define ANSWER_ETAG_SIZE 48

/* What an answer says besides its body. */
struct answer_spec {
	unsigned int status;
	const char *type;  /* Content-Type; static */
	const char *etag;  /* NULL: none */
	const char *extra; /* more header lines, each with CRLF; or NULL */
	bool gzip;         /* the body is compressed */
	bool vary;         /* depends on Accept, Accept-Encoding */
	bool close;        /* the connection ends with it */
	int64_t wall_ns;   /* for Date */
};

struct answer {
	atomic_uint refs;
	struct answer_spec spec; /* its etag and extra are not kept */
	size_t head_len; /* status line and headers with their blank line */
	size_t len;      /* head and body */
	size_t unchanged_len;        /* of the 304 that lies behind the body */
	char etag[ANSWER_ETAG_SIZE]; /* "" if it has none */
	char bytes[];
};

/* Build an answer; BODY is copied.  One reference, owned; NULL: no memory. */
struct answer *answer_build(
    const struct answer_spec *spec, const void *body, size_t len);

/* {"error": TEXT} with this status.  The same. */
struct answer *answer_build_error(
    unsigned int status, const char *extra, bool close, const char *text);

/* One more reference. */
struct answer *answer_ref(struct answer *p);

/* One less; NULL is ignored. */
void answer_unref(struct answer *p);

/* "OK", "Not Found".  Static. */
const char *answer_status_text(unsigned int status);

/*
 * The same answer with its body compressed by gzip; it must not have had
 * extra header lines.  One reference, owned; NULL: no memory.
 */
struct answer *answer_compress(const struct answer *a);

static inline void
cleanup_answer(struct answer **p)
{
	answer_unref(*p);
}
#define _cleanup_answer_ _cleanup_(cleanup_answer)

#endif
