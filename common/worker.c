/* SPDX-License-Identifier: ISC */
#include "common/worker.h"

#include <event2/event.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "aegis_config.h"
#include "common/log.h"
#include "common/msg.h"

/* Handlers get the daemon's ctx; this finds the worker behind them. */
static struct worker *self;
static int exit_status;

static int
handle_ping(struct imsg *m, void *ctx)
{
	int r =
	    msg_send_WORKER_PONG(self->agentd, m->id, msg_get_WORKER_PING(m));

	return r == -EPIPE ? 0 : r;
}

static int
handle_log_level(struct imsg *m, void *ctx)
{
	const struct msg_log_level *level = msg_get_LOG_LEVEL(m);

	if (level->level >= LOG_LEVEL_MAX)
		return -EINVAL;
	log_set_level((enum log_level)level->level);
	return 0;
}

static int
start_work(struct worker *w)
{
	struct msg_worker_ready ready = { .fingerprint = msg_fingerprint() };
	int r;

	r = w->ops->start != NULL ? w->ops->start(w) : 0;
	if (r < 0)
		return r;
	r = sandbox_enter(w->role, &w->grants);
	if (r < 0) {
		log_error("cannot close the sandbox: %s", strerror(-r));
		return r;
	}
	ready.landlock_abi = sandbox_landlock_abi();
	r = msg_send_WORKER_READY(w->agentd, 0, &ready);
	if (r < 0)
		return r;
	return w->ops->run != NULL ? w->ops->run(w) : 0;
}

static int
handle_config_end(struct imsg *m, void *ctx)
{
	const struct msg_config_end *end = msg_get_CONFIG_END(m);

	if (end->log_level >= LOG_LEVEL_MAX || !MSG_ID_OK(end->host_id) ||
	    self->host_id[0] != '\0')
		return -EINVAL;
	if (str_copy(self->host_id, sizeof(self->host_id), end->host_id) < 0)
		return -EINVAL;
	log_set_level((enum log_level)end->log_level);
	if (start_work(self) < 0)
		worker_fail(self);
	return 0;
}

static void
handle_closed(int reason, const char *text, void *ctx)
{
	/* Without agentd there is nobody to log to and nothing to do. */
	if (reason != 0)
		exit_status = 1;
	(void)event_base_loopbreak(self->base);
}

void
worker_fail(struct worker *w)
{
	exit_status = 1;
	(void)event_base_loopbreak(w->base);
}

int
worker_main(struct worker *w, enum proc_role role, const struct worker_ops *ops,
    void *ctx)
{
	static imsg_handler handlers[MSG_TYPE_MAX];
	int type, r;
	socklen_t len = sizeof(type);

	if (getsockopt(PROC_CHANNEL_FD, SOL_SOCKET, SO_TYPE, &type, &len) ==
		-1 ||
	    type != SOCK_SEQPACKET) {
		(void)fprintf(stderr,
		    "%s: descriptor %d is not agentd's channel: this program "
		    "is started by agentd(8), not by hand\n",
		    proc_name(role), PROC_CHANNEL_FD);
		return 64; /* EX_USAGE */
	}
	if (fcntl(PROC_CHANNEL_FD, F_SETFD, FD_CLOEXEC) == -1 ||
	    fcntl(PROC_CHANNEL_FD, F_SETFL, O_NONBLOCK) == -1)
		return 1;
	self = w;
	w->role = role;
	w->ops = ops;
	w->ctx = ctx;
	memcpy(handlers, ops->handlers, sizeof(handlers));
	handlers[MSG_WORKER_PING] = handle_ping;
	handlers[MSG_LOG_LEVEL] = handle_log_level;
	handlers[MSG_CONFIG_END] = handle_config_end;
	w->base = event_base_new();
	if (w->base == NULL)
		return 1;
	r = imsg_open(&w->agentd, w->base, PROC_CHANNEL_FD, role, PROC_AGENTD,
	    handlers, handle_closed, ctx);
	if (r < 0)
		return 1;
	log_open_channel(w->agentd);
	(void)event_base_dispatch(w->base);
	if (ops->stop != NULL)
		ops->stop(w);
	/* Last words, such as why start() failed; nobody may be listening. */
	r = imsg_flush(w->agentd, 500);
	if (r < 0 && r != -EPIPE)
		exit_status = 1;
	log_open_channel(NULL);
	imsg_free(w->agentd);
	event_base_free(w->base);
	return exit_status;
}
