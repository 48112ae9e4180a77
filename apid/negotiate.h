/* SPDX-License-Identifier: ISC */
/*
 * What a request's headers ask for, decided without a connection: the form
 * of the metrics, compression, conditional requests, and the bearer token.
 * A header that is absent is NULL.
 */
#ifndef APID_NEGOTIATE_H
#define APID_NEGOTIATE_H

#include <stdbool.h>
#include <stddef.h>

enum metrics_form {
	METRICS_JSON = 0,
	METRICS_PROMETHEUS,  /* text/plain; version=0.0.4 */
	METRICS_OPENMETRICS, /* application/openmetrics-text */
	METRICS_FORM_MAX
};

/*
 * The best form by an Accept header: highest q, then the more specific
 * range, then JSON.  Whoever accepts none of them gets JSON all the same.
 */
enum metrics_form negotiate_metrics(const char *accept);

/* True if an Accept-Encoding header admits gzip. */
bool negotiate_gzip(const char *accept_encoding);

/*
 * True if an If-None-Match header names ETAG (W/"..." as we send it), by the
 * weak comparison of RFC 9110.
 */
bool negotiate_not_modified(const char *if_none_match, const char *etag);

/*
 * True if an Authorization header carries TOKEN as a bearer token.  Takes
 * the same time wherever the two differ.
 */
bool negotiate_bearer(const char *authorization, const char *token);

#endif
