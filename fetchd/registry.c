/* SPDX-License-Identifier: ISC */
#include "fetchd/registry.h"

#include <string.h>
#include <sys/stat.h>

#include "common/log.h"
#include "common/msg.h"
#include "common/worker.h"
#include "fetchd/download.h"
#include "fetchd/poll.h"
#include "fetchd/resolver.h"
#include "fetchd/secrets.h"
#include "fetchd/source.h"

struct registry {
	struct worker worker;
	struct msg_fetch_config config;
	bool configured;
	bool running;
	struct secrets secrets;
	int root;      /* directory of a file:// registry, or -1 */
	int cache_dir; /* until the cache takes it, or -1 */
	struct source source;
	struct poll *poll;
	struct downloads *downloads;
};

/* ---- configuration ---- */

static int
handle_config(struct imsg *m, void *ctx)
{
	const struct msg_fetch_config *config = msg_get_FETCH_CONFIG(m);
	struct registry *reg = ctx;

	if (reg->configured || !MSG_TEXT_OK(config->url) ||
	    !MSG_ID_OK(config->host_id) || !MSG_TEXT_OK(config->binary_path) ||
	    strstr(config->binary_path, "{id}") == NULL ||
	    config->poll_interval_sec == 0 || config->is_file > 1)
		return -EINVAL;
	reg->config = *config;
	reg->configured = true;
	return 0;
}

static int
use_token(struct registry *reg)
{
	const char *token = secrets_text(&reg->secrets, SECRET_TOKEN);
	_cleanup_free_ char *value = NULL;
	int r;

	if (token == NULL)
		return 0;
	if (asprintf(&value, "Bearer %s", token) < 0)
		return -ENOMEM;
	r = http_set_header(reg->source.http, "Authorization", value);
	explicit_bzero(value, strlen(value));
	return r;
}

static int
handle_secret(struct imsg *m, void *ctx)
{
	struct registry *reg = ctx;
	const struct msg_secret *secret = msg_get_SECRET(m);
	char error[AEGIS_TEXT_SIZE];
	int r;

	r = secrets_take(&reg->secrets, m);
	if (r < 0 || reg->source.http == NULL)
		return r;
	/* It comes while we run: it was renewed. */
	if (secret->kind == SECRET_TOKEN)
		return use_token(reg);
	r = http_set_tls(reg->source.http, &reg->secrets, error, sizeof(error));
	/* Certificate and key come one after the other; the first alone
	 * does not match yet. */
	if (r < 0 && secret->kind != SECRET_CERT)
		log_line(LOG_LEVEL_ERROR, NULL, error,
		    "new TLS files for the registry cannot be used; the old "
		    "ones stay");
	return 0;
}

static int
take_dir(struct imsg *m, int *dir)
{
	struct stat st;

	if (*dir >= 0 || fstat(m->fd, &st) == -1 || !S_ISDIR(st.st_mode))
		return -EINVAL;
	*dir = imsg_take_fd(m);
	return 0;
}

static int
handle_root(struct imsg *m, void *ctx)
{
	struct registry *reg = ctx;

	return reg->running ? -EINVAL : take_dir(m, &reg->root);
}

static int
handle_cache(struct imsg *m, void *ctx)
{
	struct registry *reg = ctx;

	if (reg->running || reg->source.cache != NULL)
		return -EINVAL;
	return take_dir(m, &reg->cache_dir);
}

/* ---- work ---- */

static int
handle_poll(struct imsg *m, void *ctx)
{
	struct registry *reg = ctx;

	if (!reg->running)
		return -EINVAL;
	poll_now(reg->poll);
	return 0;
}

static int
handle_artifact(struct imsg *m, void *ctx)
{
	struct registry *reg = ctx;

	if (!reg->running)
		return -EINVAL;
	return downloads_add(reg->downloads, m->id, msg_get_FETCH_ARTIFACT(m));
}

static int
handle_cancel(struct imsg *m, void *ctx)
{
	struct registry *reg = ctx;

	if (reg->running)
		downloads_cancel(reg->downloads, m->id);
	return 0;
}

static const imsg_handler handlers[MSG_TYPE_MAX] = {
	[MSG_SECRET] = handle_secret,
	[MSG_FETCH_CONFIG] = handle_config,
	[MSG_FETCH_ROOT] = handle_root,
	[MSG_FETCH_CACHE] = handle_cache,
	[MSG_FETCH_POLL] = handle_poll,
	[MSG_FETCH_ARTIFACT] = handle_artifact,
	[MSG_FETCH_CANCEL] = handle_cancel,
};

/* ---- start and end ---- */

static int
open_server(struct registry *reg, struct worker *w)
{
	char error[AEGIS_TEXT_SIZE];
	int r;

	resolver_prepare();
	r = http_global_init();
	if (r < 0) {
		log_error("libcurl or OpenSSL does not start");
		return r;
	}
	r = http_new(&reg->source.http, w->base, reg->config.url, &reg->secrets,
	    error, sizeof(error));
	if (r < 0) {
		log_line(LOG_LEVEL_ERROR, NULL, error,
		    "cannot talk to the registry");
		return r;
	}
	r = use_token(reg);
	if (r == 0)
		r = sandbox_grant_connect(
		    &w->grants, http_port(reg->source.http));
	return r;
}

static int
open_cache(struct registry *reg, struct worker *w)
{
	int r;

	if (reg->cache_dir < 0)
		return 0;
	r = sandbox_grant_dir(&w->grants, reg->cache_dir, true);
	if (r < 0)
		return r;
	r = cache_open(&reg->source.cache, fd_steal(&reg->cache_dir),
	    reg->config.cache_max_bytes);
	/* Without a cache we work all the same, only not without registry. */
	if (r < 0)
		log_line(LOG_LEVEL_WARN, NULL, strerror(-r),
		    "cannot read the cache directory; going on without the "
		    "cache");
	return 0;
}

static int
registry_start(struct worker *w)
{
	struct registry *reg = w->ctx;
	int r;

	if (!reg->configured ||
	    (reg->config.is_file != 0) != (reg->root >= 0)) {
		log_error("configuration without FETCH_CONFIG or FETCH_ROOT");
		return -EINVAL;
	}
	reg->source.worker = w;
	reg->source.config = &reg->config;
	reg->source.root = reg->root;
	r = reg->config.is_file
	    ? sandbox_grant_dir(&w->grants, reg->root, false)
	    : open_server(reg, w);
	return r < 0 ? r : open_cache(reg, w);
}

static int
registry_run(struct worker *w)
{
	struct registry *reg = w->ctx;
	int r;

	r = downloads_new(&reg->downloads, &reg->source);
	if (r == 0)
		r = poll_new(&reg->poll, &reg->source);
	if (r < 0) {
		log_error("cannot start polling: %s", strerror(-r));
		return r;
	}
	reg->running = true;
	return 0;
}

static void
registry_stop(struct worker *w)
{
	struct registry *reg = w->ctx;

	poll_free(reg->poll);
	downloads_free(reg->downloads);
	http_free(reg->source.http);
	cache_free(reg->source.cache);
	secrets_wipe(&reg->secrets);
	fd_close(&reg->root);
	fd_close(&reg->cache_dir);
}

int
registry_main(void)
{
	static const struct worker_ops ops = {
		.handlers = handlers,
		.start = registry_start,
		.run = registry_run,
		.stop = registry_stop,
	};
	struct registry *reg = calloc(1, sizeof(*reg));
	int status;

	if (reg == NULL)
		return 1;
	reg->root = reg->cache_dir = -1;
	status = worker_main(&reg->worker, PROC_REGISTRY, &ops, reg);
	free(reg);
	return status;
}
