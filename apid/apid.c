/* SPDX-License-Identifier: ISC */
/*
 * apid: answers HTTP from the snapshots that agentd publishes, and can ask
 * for nothing.
 */
#include <event2/event.h>
#include <malloc.h>
#include <string.h>
#include <time.h>

#include "aegis_config.h"
#include "apid/listen.h"
#include "apid/routes.h"
#include "apid/server.h"
#include "apid/store.h"
#include "apid/tls.h"
#include "common/log.h"
#include "common/memfd.h"
#include "common/msg.h"
#include "common/worker.h"

/* Tries to listen: after a second first, then twice as long, up to this. */
#define RETRY_MAX_SEC 60

struct apid {
	struct worker worker;
	struct msg_api_config config;
	bool configured;
	char *token; /* NULL: none */
	char *cert;  /* PEM, until TLS is set up */
	char *key;
	void *tls_ctx;
	bool broken; /* TLS is asked for and cannot be had: serve nothing */
	struct store store;
	struct routes routes;
	struct server *server;
	struct event *retry;
	unsigned int retry_sec;
	char error[AEGIS_TEXT_SIZE]; /* what was reported last */
};

/* Forget a secret that is no longer needed, in memory too. */
static void
wipe(char **secret)
{
	if (*secret != NULL) {
		explicit_bzero(*secret, strlen(*secret));
		free(*secret);
	}
	*secret = NULL;
}

/* Tell agentd; a problem is logged when it is new. */
static void
report(struct apid *d, bool listening)
{
	struct msg_api_state state = { .listening = listening };
	int r;

	str_copy_cut(state.error, sizeof(state.error), d->error);
	r = msg_send_API_STATE(d->worker.agentd, 0, &state);
	if (r < 0 && r != -EPIPE)
		log_error("cannot report to agentd: %s", strerror(-r));
}

static void
report_error(struct apid *d, const char *text)
{
	if (strcmp(d->error, text) != 0) {
		str_copy_cut(d->error, sizeof(d->error), text);
		log_error("%s", d->error);
	}
	report(d, false);
}

static int
handle_api_config(struct imsg *m, void *ctx)
{
	const struct msg_api_config *config = msg_get_API_CONFIG(m);
	struct apid *d = ctx;

	if (!MSG_TEXT_OK(config->address) || config->port == 0 ||
	    config->port > UINT16_MAX || d->configured)
		return -EINVAL;
	d->config = *config;
	d->configured = true;
	return 0;
}

/* The text of a secret's memfd; owned. */
static int
read_secret(int fd, char **out)
{
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	int r;

	r = memfd_map(fd, AEGIS_SECRET_MAX, &map);
	if (r < 0)
		return r;
	if (map.len == 0 || memchr(map.data, '\0', map.len) != NULL)
		return -EINVAL;
	wipe(out);
	*out = strndup(map.data, map.len);
	return *out == NULL ? -ENOMEM : 0;
}

static int
handle_secret(struct imsg *m, void *ctx)
{
	struct apid *d = ctx;

	switch (msg_get_SECRET(m)->kind) {
	case SECRET_TOKEN:
		return read_secret(m->fd, &d->token);
	case SECRET_CERT:
		return read_secret(m->fd, &d->cert);
	case SECRET_KEY:
		return read_secret(m->fd, &d->key);
	default:
		return -EINVAL;
	}
}

static int
handle_api_snapshot(struct imsg *m, void *ctx)
{
	struct apid *d = ctx;
	const char *what;
	int r;

	r = store_put(&d->store, m->fd, &what);
	if (r < 0)
		log_error("a snapshot of agentd cannot be read: %s (%s)", what,
		    strerror(-r));
	return r;
}

/* Listen and serve; on failure report why and try again later. */
static void
try_to_serve(evutil_socket_t unused, short events, void *arg)
{
	struct apid *d = arg;
	struct timeval later = { 0 };
	char text[AEGIS_TEXT_SIZE];
	int fd, r;

	fd = listen_open(
	    d->config.address, (uint16_t)d->config.port, text, sizeof(text));
	r = fd < 0 ? fd
		   : server_start(&d->server, d->worker.base, &d->routes, fd,
			 d->tls_ctx, text, sizeof(text));
	if (r == 0) {
		d->error[0] = '\0';
		log_info("listening on %s port %u, %s",
		    d->config.address[0] != '\0' ? d->config.address
						 : "all addresses",
		    d->config.port, d->tls_ctx != NULL ? "TLS" : "plain HTTP");
		report(d, true);
		return;
	}
	report_error(d, text);
	if (r == -EAGAIN) {
		worker_fail(&d->worker);
		return;
	}
	later.tv_sec = d->retry_sec;
	d->retry_sec *= 2;
	if (d->retry_sec > RETRY_MAX_SEC)
		d->retry_sec = RETRY_MAX_SEC;
	(void)event_add(d->retry, &later);
}

/* TLS as configured; never plain HTTP in its stead. */
static int
start_tls(struct apid *d, char *text, size_t size)
{
	int r;

	if (d->cert == NULL && d->key == NULL)
		return server_load(NULL, text, size);
	if (d->cert == NULL || d->key == NULL) {
		(void)snprintf(text, size,
		    "TLS needs both AGENT_HTTP_CERT and AGENT_HTTP_KEY; %s is "
		    "not set",
		    d->cert == NULL ? "AGENT_HTTP_CERT" : "AGENT_HTTP_KEY");
		return -EINVAL;
	}
	r = server_load(AEGIS_LIBEXECDIR, text, size);
	if (r == 0)
		r = tls_open(d->cert, d->key, &d->tls_ctx, text, size);
	wipe(&d->key);
	wipe(&d->cert);
	return r;
}

static int
apid_start(struct worker *w)
{
	struct apid *d = w->ctx;
	char text[AEGIS_TEXT_SIZE] = "";

	if (!d->configured) {
		log_error("no API_CONFIG came before CONFIG_END");
		return -EINVAL;
	}
	/* Reads the time zone while files can be opened. */
	tzset();
	/* Hundreds of threads do not need an arena each. */
	(void)mallopt(M_ARENA_MAX, 2);
	if (start_tls(d, text, sizeof(text)) < 0) {
		d->broken = true;
		str_copy_cut(d->error, sizeof(d->error), text);
		log_error("%s", d->error);
	}
	/* civetweb first listens on a port of its own choice. */
	if (sandbox_grant_bind(&w->grants, 0) < 0 ||
	    sandbox_grant_bind(&w->grants, (uint16_t)d->config.port) < 0)
		return -ENOSPC;
	return 0;
}

static int
apid_run(struct worker *w)
{
	struct apid *d = w->ctx;

	routes_init(&d->routes, &d->store, w->host_id);
	d->routes.token = d->token;
	if (d->broken) {
		/* Only another configuration helps, and that is a restart. */
		report(d, false);
		return 0;
	}
	d->retry_sec = 1;
	d->retry = event_new(w->base, -1, 0, try_to_serve, d);
	if (d->retry == NULL)
		return -ENOMEM;
	try_to_serve(-1, 0, d);
	return 0;
}

static void
apid_stop(struct worker *w)
{
	struct apid *d = w->ctx;

	server_stop(d->server);
	d->server = NULL;
}

int
main(void)
{
	static const imsg_handler handlers[MSG_TYPE_MAX] = {
		[MSG_API_CONFIG] = handle_api_config,
		[MSG_SECRET] = handle_secret,
		[MSG_API_SNAPSHOT] = handle_api_snapshot,
	};
	static const struct worker_ops ops = {
		.handlers = handlers,
		.start = apid_start,
		.run = apid_run,
		.stop = apid_stop,
	};
	static struct apid d;

	store_init(&d.store);
	return worker_main(&d.worker, PROC_API, &ops, &d);
}
