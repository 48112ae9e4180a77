/* SPDX-License-Identifier: ISC */
#include "unit.h"

#include "apid/negotiate.h"

START_TEST (metrics_form_by_accept) {
	static const struct {
		const char *accept;
		enum metrics_form form;
	} rows[] = {
		{ NULL, METRICS_JSON },
		{ "", METRICS_JSON },
		{ "*/*", METRICS_JSON },
		{ "application/json", METRICS_JSON },
		{ "APPLICATION/JSON;q=0.1", METRICS_JSON },
		{ "text/html,application/xhtml+xml,*/*;q=0.8", METRICS_JSON },
		{ "application/json, text/plain, */*", METRICS_JSON },
		{ "application/*", METRICS_JSON },
		{ "image/png", METRICS_JSON },
		{ "text/plain", METRICS_PROMETHEUS },
		{ "text/plain, */*", METRICS_PROMETHEUS },
		{ "text/*", METRICS_PROMETHEUS },
		{ "text/plain; version=0.0.4; charset=utf-8",
		    METRICS_PROMETHEUS },
		{ "text/plain;version=1.0.0", METRICS_JSON },
		{ "application/json;q=0.5,text/plain;q=0.6",
		    METRICS_PROMETHEUS },
		{ "application/openmetrics-text", METRICS_OPENMETRICS },
		{ "application/openmetrics-text;version=9.0.0,text/plain;q=0.5",
		    METRICS_PROMETHEUS },
		/* Prometheus 2.42 */
		{ "application/openmetrics-text;version=1.0.0,"
		  "application/openmetrics-text;version=0.0.1;q=0.75,"
		  "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
		    METRICS_OPENMETRICS },
		{ "text/plain;q=0, */*", METRICS_JSON },
		{ "text/plain;q=nonsense, application/json;q=0.1",
		    METRICS_JSON },
		{ ",,,;;;,=,q=", METRICS_JSON },
	};
	size_t i;

	for (i = 0; i < nitems(rows); i++)
		ck_assert_msg(negotiate_metrics(rows[i].accept) == rows[i].form,
		    "Accept: %s", rows[i].accept ? rows[i].accept : "absent");
}
END_TEST

START_TEST (gzip_by_accept_encoding) {
	ck_assert(!negotiate_gzip(NULL));
	ck_assert(!negotiate_gzip(""));
	ck_assert(!negotiate_gzip("identity, br, deflate"));
	ck_assert(!negotiate_gzip("gzip;q=0"));
	ck_assert(!negotiate_gzip("gzip;q=0.000, *"));
	ck_assert(!negotiate_gzip("gzipped"));
	ck_assert(negotiate_gzip("gzip"));
	ck_assert(negotiate_gzip("br, GZIP;q=0.001"));
	ck_assert(negotiate_gzip("*"));
	ck_assert(negotiate_gzip("deflate;q=1 , gzip ; q=0.5"));
}
END_TEST

START_TEST (entity_tags_compare_weakly) {
	static const char etag[] = "W/\"00ff-1\"";

	ck_assert(!negotiate_not_modified(NULL, etag));
	ck_assert(!negotiate_not_modified("", etag));
	ck_assert(!negotiate_not_modified("\"00ff-2\"", etag));
	ck_assert(!negotiate_not_modified("00ff-1", etag));
	ck_assert(!negotiate_not_modified("\"00ff-1", etag));
	ck_assert(negotiate_not_modified(etag, etag));
	ck_assert(negotiate_not_modified("\"00ff-1\"", etag));
	ck_assert(negotiate_not_modified("\"a\" ,  W/\"00ff-1\", \"b\"", etag));
	ck_assert(negotiate_not_modified("*", etag));
}
END_TEST

START_TEST (bearer_token) {
	static const char token[] = "abc123";

	ck_assert(negotiate_bearer("Bearer abc123", token));
	ck_assert(negotiate_bearer("bearer  abc123 ", token));
	ck_assert(!negotiate_bearer(NULL, token));
	ck_assert(!negotiate_bearer("", token));
	ck_assert(!negotiate_bearer("Bearer", token));
	ck_assert(!negotiate_bearer("Bearer ", token));
	ck_assert(!negotiate_bearer("Bearerabc123", token));
	ck_assert(!negotiate_bearer("Bearer abc12", token));
	ck_assert(!negotiate_bearer("Bearer abc1234", token));
	ck_assert(!negotiate_bearer("Bearer abc123abc123", token));
	ck_assert(!negotiate_bearer("Bearer ABC123", token));
	ck_assert(!negotiate_bearer("Basic abc123", token));
	/* No token at all is no way in. */
	ck_assert(!negotiate_bearer("Bearer ", ""));
	ck_assert(!negotiate_bearer("Bearer x", ""));
}
END_TEST

UNIT_MAIN("negotiate", metrics_form_by_accept, gzip_by_accept_encoding,
    entity_tags_compare_weakly, bearer_token)
