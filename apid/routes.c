/* SPDX-License-Identifier: ISC */
#include "apid/routes.h"

#include <inttypes.h>
#include <string.h>

#include "apid/negotiate.h"
#include "apid/page.h"
#include "apid/prometheus.h"
#include "common/clock.h"
#include "common/render.h"

enum route_kind { ROUTE_DOCUMENT, ROUTE_FILE };

struct route {
	const char *path;
	enum route_kind kind;
	unsigned int index; /* enum slot_kind, or enum page_file */
	bool open;          /* without a token */
};

/*
 * The files of the page are open, since they hold nothing of the host and
 * the page is what asks for the token.
 */
static const struct route routes[] = {
	{ "/healthz", ROUTE_DOCUMENT, SLOT_HEALTHZ, true },
	{ "/status", ROUTE_DOCUMENT, SLOT_STATUS, false },
	{ "/metrics", ROUTE_DOCUMENT, SLOT_METRICS, false },
	{ "/programs", ROUTE_DOCUMENT, SLOT_PROGRAMS, false },
	{ "/rollbacks", ROUTE_DOCUMENT, SLOT_ROLLBACKS, false },
	{ "/telemetry", ROUTE_DOCUMENT, SLOT_TELEMETRY, false },
	{ "/version", ROUTE_DOCUMENT, SLOT_VERSION, false },
	{ "/", ROUTE_FILE, PAGE_HTML, true },
	{ "/page.js", ROUTE_FILE, PAGE_SCRIPT, true },
	{ "/page.css", ROUTE_FILE, PAGE_STYLE, true },
};

_Static_assert((int)SLOT_VERSION == (int)RENDER_VERSION,
    "slots of documents count as the renderer does");

static const char *const slot_types[SLOT_MAX] = {
	[SLOT_PROMETHEUS] = "text/plain; version=0.0.4; charset=utf-8",
	[SLOT_OPENMETRICS] =
	    "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

void
routes_init(struct routes *rt, struct store *store, const char *host_id)
{
	size_t i;

	memset(rt, 0, sizeof(*rt));
	rt->store = store;
	rt->host_id = host_id;
	atomic_init(&rt->renders, 0);
	for (i = 0; i < SLOT_MAX; i++)
		(void)pthread_mutex_init(&rt->slots[i].lock, NULL);
}

static void
slot_clear(struct slot *slot)
{
	answer_unref(slot->plain);
	answer_unref(slot->gzip);
	slot->plain = NULL;
	slot->gzip = NULL;
}

void
routes_clear(struct routes *rt)
{
	size_t i;

	for (i = 0; i < SLOT_MAX; i++) {
		slot_clear(&rt->slots[i]);
		(void)pthread_mutex_destroy(&rt->slots[i].lock);
	}
}

static int
render_body(enum slot_kind kind, const struct snapshot *snap,
    const struct render_now *now, char **body, size_t *len)
{
	switch (kind) {
	case SLOT_PROMETHEUS:
		return prometheus_render(false, snap, now, body, len);
	case SLOT_OPENMETRICS:
		return prometheus_render(true, snap, now, body, len);
	default:
		return render_json((enum render_doc)kind, snap, now, body, len);
	}
}

/*
 * Render a document for its slot, whose lock the caller holds: who comes
 * meanwhile waits for this one instead of making another.
 */
static int
slot_render(struct routes *rt, enum slot_kind kind, struct stored *stored,
    const struct render_now *now)
{
	struct slot *slot = &rt->slots[kind];
	const struct snapshot *snap = &stored->snapshot;
	_cleanup_free_ char *body = NULL;
	char etag[ANSWER_ETAG_SIZE];
	struct answer_spec spec = {
		.status = 200,
		.type = slot_types[kind] != NULL ? slot_types[kind]
						 : "application/json",
		.etag = etag,
		.vary = true,
		.wall_ns = now->wall_ns,
	};
	size_t len;
	int r;

	r = render_body(kind, snap, now, &body, &len);
	if (r < 0)
		return r;
	atomic_fetch_add(&rt->renders, 1);
	/* Weak: the ages in the body move on while the content stays. */
	(void)snprintf(etag, sizeof(etag), "W/\"%016" PRIx64 "-%x\"",
	    snap->header->content, (unsigned int)kind);
	if (kind == SLOT_HEALTHZ && snap->header->health == HEALTH_UNHEALTHY) {
		spec.status = 503;
		spec.etag = NULL;
	}
	slot->plain = answer_build(&spec, body, len);
	if (slot->plain == NULL)
		return -ENOMEM;
	slot->generation = snap->header->generation;
	slot->boot_sec = now->boot_ns / NSEC_PER_SEC;
	return 0;
}

/* The document of this second and snapshot: a reference; NULL with *R. */
static struct answer *
slot_answer(struct routes *rt, enum slot_kind kind, bool gzip, int *r)
{
	struct slot *slot = &rt->slots[kind];
	_cleanup_stored_ struct stored *stored = NULL;
	struct render_now now = { .boot_ns = clock_boot_ns() };
	struct answer *a;

	*r = 0;
	(void)pthread_mutex_lock(&slot->lock);
	if (slot->generation != store_generation(rt->store) ||
	    slot->boot_sec != now.boot_ns / NSEC_PER_SEC)
		slot_clear(slot);
	if (slot->plain == NULL) {
		stored = store_get(rt->store);
		if (stored != NULL) {
			now.wall_ns = clock_wall_ns();
			*r = slot_render(rt, kind, stored, &now);
		}
	}
	if (gzip && slot->plain != NULL && slot->gzip == NULL)
		slot->gzip = answer_compress(slot->plain);
	/* Who asked for gzip takes it plain when memory is short. */
	a = gzip && slot->gzip != NULL ? slot->gzip : slot->plain;
	if (a != NULL)
		a = answer_ref(a);
	(void)pthread_mutex_unlock(&slot->lock);
	return a;
}

/* agentd has not spoken yet: /healthz says it in its own words. */
static struct answer *
answer_without_snapshot(const struct routes *rt, enum slot_kind kind)
{
	char now[CLOCK_RFC3339_SIZE], body[512];
	struct answer_spec spec = {
		.status = 503,
		.type = "application/json",
		.extra = "Retry-After: 1\r\n",
		.wall_ns = clock_wall_ns(),
	};
	int len;

	if (kind != SLOT_HEALTHZ)
		return answer_build_error(503, spec.extra, false,
		    "agentd has not published its state yet");
	clock_format_rfc3339(spec.wall_ns, now);
	/* A host id is an identifier: nothing in it needs escaping. */
	len = snprintf(body, sizeof(body),
	    "{\"status\":\"unhealthy\",\"host_id\":\"%s\","
	    "\"timestamp\":\"%s\",\"uptime\":\"0s\",\"version\":\"\","
	    "\"loaded_programs\":0,\"reasons\":[\"agentd: has not published "
	    "its state yet\"]}\n",
	    rt->host_id, now);
	if (len < 0 || (size_t)len >= sizeof(body))
		return NULL;
	return answer_build(&spec, body, (size_t)len);
}

static const struct route *
find_route(const char *path)
{
	size_t i;

	for (i = 0; i < nitems(routes); i++)
		if (strcmp(path, routes[i].path) == 0)
			return &routes[i];
	return NULL;
}

struct answer *
routes_refuse_method(bool close)
{
	return answer_build_error(405, "Allow: GET, HEAD\r\n", close,
	    "only GET and HEAD are answered");
}

/* The answer to a request that is refused; NULL if it may go on. */
static struct answer *
refuse(const struct routes *rt, const struct request *req,
    const struct route *route, unsigned int *status)
{
	if (route == NULL) {
		*status = 404;
		return answer_build_error(
		    404, NULL, req->has_body, "no such path");
	}
	if (strcmp(req->method, "GET") != 0 &&
	    strcmp(req->method, "HEAD") != 0) {
		*status = 405;
		return routes_refuse_method(req->has_body);
	}
	if (req->has_body) {
		*status = 413;
		return answer_build_error(
		    413, NULL, true, "a request body is not expected");
	}
	if (!route->open && rt->token != NULL &&
	    !negotiate_bearer(req->authorization, rt->token)) {
		*status = 401;
		return answer_build_error(401,
		    "WWW-Authenticate: Bearer realm=\"aegisflux\"\r\n", false,
		    "a bearer token is required");
	}
	*status = 0;
	return NULL;
}

/* Which slot a document's route means, by what the client accepts. */
static enum slot_kind
choose_slot(const struct route *route, const struct request *req)
{
	if (route->index != SLOT_METRICS)
		return (enum slot_kind)route->index;
	switch (negotiate_metrics(req->accept)) {
	case METRICS_PROMETHEUS:
		return SLOT_PROMETHEUS;
	case METRICS_OPENMETRICS:
		return SLOT_OPENMETRICS;
	default:
		return SLOT_METRICS;
	}
}

int
routes_answer(struct routes *rt, const struct request *req, struct reply *reply)
{
	const struct route *route = find_route(req->path);
	bool gzip = negotiate_gzip(req->accept_encoding);
	enum slot_kind kind;
	struct answer *a;
	int r = 0;

	reply->close = req->has_body;
	a = refuse(rt, req, route, &reply->status);
	if (a == NULL && reply->status != 0)
		return -ENOMEM;
	if (a == NULL && route->kind == ROUTE_FILE)
		a = page_answer((enum page_file)route->index);
	else if (a == NULL) {
		kind = choose_slot(route, req);
		a = slot_answer(rt, kind, gzip, &r);
		if (a == NULL && r == 0)
			a = answer_without_snapshot(rt, kind);
	}
	if (a == NULL)
		return -ENOMEM;
	reply->answer = a;
	reply->status = a->spec.status;
	reply->bytes = a->bytes;
	reply->len = strcmp(req->method, "HEAD") == 0 ? a->head_len : a->len;
	if (a->etag[0] != '\0' &&
	    negotiate_not_modified(req->if_none_match, a->etag)) {
		reply->status = 304;
		reply->bytes = a->bytes + a->len;
		reply->len = a->unchanged_len;
	}
	return 0;
}
