/* SPDX-License-Identifier: ISC */
#include "fetchd/vault.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/memfd.h"
#include "common/msg.h"
#include "common/worker.h"
#include "fetchd/http.h"
#include "fetchd/resolver.h"
#include "fetchd/schedule.h"
#include "fetchd/secrets.h"
#include "fetchd/vaultkeys.h"

/* A signature that names a wild version must not make us hammer Vault. */
#define ASKED_APART_MS INT64_C(10000)

static const struct http_limits limits = {
	.body_max = VAULTKEYS_ANSWER_MAX,
	.connect_timeout_ms = 10000,
	.total_timeout_ms = 30000,
	.min_rate = 256,
	.min_rate_sec = 10,
};

struct vault {
	struct worker worker;
	struct msg_vault_config config;
	bool configured;
	bool running;
	struct secrets secrets;
	struct http *http;
	struct http_request *request; /* NULL: none under way */
	bool again;                   /* ask once more after it */
	struct schedule schedule;
	struct event timer;
	int64_t asked_boot_ns; /* when the last request began; 0: never */
	char url[AEGIS_URL_SIZE + AEGIS_PATH_SIZE + 8];
	char *body;
	size_t body_len;
	struct keyset_header *sent; /* the key set that agentd has */
	size_t sent_len;
};

static void
arm(struct vault *v, int64_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000,
		.tv_usec = ms % 1000 * 1000 };

	if (evtimer_add(&v->timer, &tv) != 0)
		worker_fail(&v->worker);
}

/* ---- answers ---- */

static void
send_state(struct vault *v, bool ok, uint32_t http_status, const char *error)
{
	struct msg_vault_state m = { .ok = ok, .http_status = http_status };
	int r;

	str_copy_cut(m.error, sizeof(m.error), error);
	str_scrub(m.error, sizeof(m.error));
	r = msg_send_VAULT_STATE(v->worker.agentd, 0, &m);
	if (r < 0 && r != -EPIPE)
		worker_fail(&v->worker);
}

static int
send_keys(struct vault *v, struct keyset_header *records, size_t len)
{
	struct msg_vault_keys m = { .keys = records->key_count };
	int fd, r;

	if (v->sent != NULL && v->sent_len == len &&
	    memcmp(v->sent, records, len) == 0) {
		free(records);
		return 0;
	}
	fd = memfd_from_bytes("vault-keys", records, len);
	if (fd < 0) {
		free(records);
		return fd;
	}
	free(v->sent);
	v->sent = records;
	v->sent_len = len;
	r = msg_send_VAULT_KEYS(v->worker.agentd, 0, &m, fd);
	if (r < 0 && r != -EPIPE)
		worker_fail(&v->worker);
	return 0;
}

static int
take_keys(struct vault *v, char *error, size_t size)
{
	char why[VAULTKEYS_ERROR_SIZE] = "";
	struct keyset_header *records;
	size_t len;
	int r;

	r = vaultkeys_parse(
	    v->body != NULL ? v->body : "", v->body_len, &records, &len, why);
	if (r == 0)
		r = send_keys(v, records, len);
	if (r < 0)
		(void)snprintf(error, size, "%s: %.200s", v->config.key_path,
		    why[0] != '\0' ? why : strerror(-r));
	return r;
}

static const char *
explain(uint32_t http_status)
{
	switch (http_status) {
	case 403:
		return ": the token has expired or no policy lets it read this";
	case 404:
		return ": no such key";
	case 429:
	case 472:
	case 473:
		return ": a standby or overloaded server";
	case 503:
		return ": Vault is sealed or in maintenance";
	default:
		return "";
	}
}

static void
handle_answer(const struct http_answer *answer, void *ctx)
{
	struct vault *v = ctx;
	char error[AEGIS_URL_SIZE] = "";
	int64_t wish_ms = SCHEDULE_NO_WISH, next_ms;
	int r = answer->result;

	v->request = NULL;
	if (r < 0)
		(void)snprintf(error, sizeof(error), "%s%s", answer->error,
		    explain(answer->status));
	else
		r = take_keys(v, error, sizeof(error));
	free(v->body);
	v->body = NULL;
	v->body_len = 0;
	if (answer->retry_after[0] != '\0' &&
	    schedule_parse_retry_after(
		answer->retry_after, clock_wall_ns(), &wish_ms) < 0)
		wish_ms = SCHEDULE_NO_WISH;
	next_ms = r == 0
	    ? schedule_success(&v->schedule, wish_ms, arc4random())
	    : schedule_failure(&v->schedule, wish_ms, arc4random());
	if (v->again)
		next_ms = 0;
	v->again = false;
	send_state(v, r == 0, answer->status, error);
	arm(v, next_ms);
}

/* ---- requests ---- */

static int
take_body(const void *data, size_t len, void *ctx)
{
	struct vault *v = ctx;
	char *body = realloc(v->body, v->body_len + len);

	if (body == NULL)
		return -ENOMEM;
	v->body = body;
	memcpy(v->body + v->body_len, data, len);
	v->body_len += len;
	return 0;
}

static void
handle_timer(evutil_socket_t fd, short what, void *arg)
{
	struct vault *v = arg;
	struct http_get get = {
		.url = v->url,
		.limits = &limits,
		.body = take_body,
		.done = handle_answer,
		.ctx = v,
	};
	struct http_answer failed = { 0 };

	if (v->request != NULL)
		return;
	v->asked_boot_ns = clock_boot_ns();
	failed.result = http_start(v->http, &get, &v->request);
	if (failed.result == 0)
		return;
	(void)snprintf(failed.error, sizeof(failed.error),
	    "cannot ask Vault: %s", strerror(-failed.result));
	handle_answer(&failed, v);
}

/* ---- messages ---- */

static int
handle_config(struct imsg *m, void *ctx)
{
	const struct msg_vault_config *config = msg_get_VAULT_CONFIG(m);
	struct vault *v = ctx;

	if (v->configured || !MSG_TEXT_OK(config->url) ||
	    !MSG_TEXT_OK(config->key_path) ||
	    !MSG_TEXT_OK(config->vault_namespace) || config->refresh_sec == 0)
		return -EINVAL;
	v->config = *config;
	v->configured = true;
	return 0;
}

static int
handle_secret(struct imsg *m, void *ctx)
{
	struct vault *v = ctx;
	const struct msg_secret *secret = msg_get_SECRET(m);
	char error[AEGIS_TEXT_SIZE];
	int r;

	r = secrets_take(&v->secrets, m);
	if (r < 0 || v->http == NULL)
		return r;
	/* It comes while we run: it was renewed. */
	if (secret->kind == SECRET_TOKEN) {
		r = http_set_header(v->http, "X-Vault-Token",
		    secrets_text(&v->secrets, SECRET_TOKEN));
	} else if (http_set_tls(v->http, &v->secrets, error, sizeof(error)) <
		0 &&
	    secret->kind != SECRET_CERT) {
		log_line(LOG_LEVEL_ERROR, NULL, error,
		    "new TLS files for Vault cannot be used; the old ones "
		    "stay");
	}
	if (v->request != NULL)
		v->again = true;
	else if (v->running)
		arm(v, 0);
	return r;
}

static int
handle_refresh(struct imsg *m, void *ctx)
{
	struct vault *v = ctx;
	int64_t since_ms;

	if (!v->running)
		return -EINVAL;
	/* What is under way was perhaps answered before the key changed, but
	 * whoever needs it asks again. */
	if (v->request != NULL)
		return 0;
	since_ms = (clock_boot_ns() - v->asked_boot_ns) / NSEC_PER_MSEC;
	arm(v, since_ms >= ASKED_APART_MS ? 0 : ASKED_APART_MS - since_ms);
	return 0;
}

static const imsg_handler handlers[MSG_TYPE_MAX] = {
	[MSG_SECRET] = handle_secret,
	[MSG_VAULT_CONFIG] = handle_config,
	[MSG_VAULT_REFRESH] = handle_refresh,
};

/* ---- start and end ---- */

static int
prepare_headers(struct vault *v)
{
	const char *token = secrets_text(&v->secrets, SECRET_TOKEN);
	int r = 0;

	if (token != NULL)
		r = http_set_header(v->http, "X-Vault-Token", token);
	if (r == 0 && v->config.vault_namespace[0] != '\0')
		r = http_set_header(
		    v->http, "X-Vault-Namespace", v->config.vault_namespace);
	/* Proof that a person did not follow a link to here. */
	if (r == 0)
		r = http_set_header(v->http, "X-Vault-Request", "true");
	return r;
}

static int
vault_start(struct worker *w)
{
	struct vault *v = w->ctx;
	char error[AEGIS_TEXT_SIZE];
	int r, n;

	if (!v->configured) {
		log_error("configuration without VAULT_CONFIG");
		return -EINVAL;
	}
	n = snprintf(v->url, sizeof(v->url), "%s/v1/%s", v->config.url,
	    v->config.key_path);
	if (n < 0 || (size_t)n >= sizeof(v->url))
		return -ENAMETOOLONG;
	resolver_prepare();
	r = http_global_init();
	if (r < 0) {
		log_error("libcurl or OpenSSL does not start");
		return r;
	}
	r = http_new(&v->http, w->base, v->config.url, &v->secrets, error,
	    sizeof(error));
	if (r < 0) {
		log_line(LOG_LEVEL_ERROR, NULL, error, "cannot talk to Vault");
		return r;
	}
	r = prepare_headers(v);
	if (r == 0)
		r = sandbox_grant_connect(&w->grants, http_port(v->http));
	return r;
}

static int
vault_run(struct worker *w)
{
	struct vault *v = w->ctx;

	v->schedule.interval_ms = (int64_t)v->config.refresh_sec * 1000;
	if (evtimer_assign(&v->timer, w->base, handle_timer, v) != 0)
		return -ENOMEM;
	v->running = true;
	arm(v, 0);
	return 0;
}

static void
vault_stop(struct worker *w)
{
	struct vault *v = w->ctx;

	if (v->request != NULL)
		http_cancel(v->request);
	if (v->running)
		(void)event_del(&v->timer);
	http_free(v->http);
	secrets_wipe(&v->secrets);
	free(v->body);
	free(v->sent);
}

int
vault_main(void)
{
	static const struct worker_ops ops = {
		.handlers = handlers,
		.start = vault_start,
		.run = vault_run,
		.stop = vault_stop,
	};
	struct vault *v = calloc(1, sizeof(*v));
	int status;

	if (v == NULL)
		return 1;
	status = worker_main(&v->worker, PROC_VAULT, &ops, v);
	free(v);
	return status;
}
