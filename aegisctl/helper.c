/* SPDX-License-Identifier: ISC */
#include "aegisctl/helper.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aegis_config.h"
#include "common/clock.h"
#include "common/launch.h"
#include "common/log.h"

/* The messages that every worker sends have no ctx to find us by. */
static struct helper *current;

static int
handle_ready(struct imsg *m, void *ctx)
{
	if (msg_get_WORKER_READY(m)->fingerprint != msg_fingerprint())
		return -EPROTO;
	current->ready = true;
	(void)event_base_loopbreak(current->base);
	return 0;
}

/* Workers log to whoever started them: people see what is amiss. */
static int
handle_log(struct imsg *m, void *ctx)
{
	const struct msg_worker_log *log = msg_get_WORKER_LOG(m);
	char text[sizeof(log->text)], error[sizeof(log->error)];

	if (!str_is_terminated(log->text, sizeof(log->text)) ||
	    !str_is_terminated(log->error, sizeof(log->error)))
		return -EINVAL;
	if (log->level < LOG_LEVEL_WARN)
		return 0;
	str_copy_cut(text, sizeof(text), log->text);
	str_copy_cut(error, sizeof(error), log->error);
	str_scrub(text, sizeof(text));
	str_scrub(error, sizeof(error));
	(void)fprintf(stderr, "%s: %s%s%s\n", proc_name(current->role), text,
	    error[0] != '\0' ? ": " : "", error);
	return 0;
}

static int
handle_pong(struct imsg *m, void *ctx)
{
	return -EPROTO; /* nobody asked */
}

static void
handle_closed(int reason, const char *text, void *ctx)
{
	current->closed = true;
	(void)snprintf(current->text, sizeof(current->text), "%s: %.200s",
	    proc_name(current->role), text);
	(void)event_base_loopbreak(current->base);
}

static int
launch(struct helper *h, int socket)
{
	struct launch_report report = { 0 };
	const struct launch l = {
		.role = h->role,
		.socket = socket,
		.libexecdir = AEGIS_LIBEXECDIR,
		.keep_stderr = true,
		.as_caller = geteuid() != 0,
	};
	pid_t pid = launch_worker(&l, &report);

	if (pid < 0) {
		(void)snprintf(h->text, sizeof(h->text),
		    "cannot start %s: %.200s", proc_name(h->role), report.what);
		return pid;
	}
	h->pid = pid;
	return 0;
}

int
helper_start(struct helper *h, enum proc_role role,
    const imsg_handler *handlers, void *ctx)
{
	_cleanup_fd_ int ours = -1, theirs = -1;
	int sv[2], r;

	memset(h, 0, sizeof(*h));
	h->role = role;
	current = h;
	memcpy(h->handlers, handlers, sizeof(h->handlers));
	h->handlers[MSG_WORKER_READY] = handle_ready;
	h->handlers[MSG_WORKER_LOG] = handle_log;
	h->handlers[MSG_WORKER_PONG] = handle_pong;
	r = imsg_socketpair(sv);
	if (r < 0) {
		str_copy_cut(h->text, sizeof(h->text), "socketpair");
		return r;
	}
	ours = sv[0];
	theirs = sv[1];
	r = launch(h, theirs);
	if (r < 0)
		return r;
	h->base = event_base_new();
	if (h->base == NULL)
		return -ENOMEM;
	return imsg_open(&h->channel, h->base, fd_steal(&ours), PROC_AGENTD,
	    role, h->handlers, handle_closed, ctx);
}

int
helper_wait(struct helper *h, const bool *done)
{
	int64_t until = clock_boot_ns() + HELPER_TIMEOUT_SEC * NSEC_PER_SEC;
	struct timeval left = { 0 };
	int64_t ns;

	while (!*done && !h->closed) {
		ns = until - clock_boot_ns();
		if (ns <= 0) {
			(void)snprintf(h->text, sizeof(h->text),
			    "%s did not answer within %d s", proc_name(h->role),
			    HELPER_TIMEOUT_SEC);
			return -ETIMEDOUT;
		}
		left.tv_sec = ns / NSEC_PER_SEC;
		left.tv_usec = ns % NSEC_PER_SEC / 1000;
		(void)event_base_loopexit(h->base, &left);
		(void)event_base_loop(h->base, EVLOOP_ONCE);
	}
	return *done ? 0 : -ECHILD;
}

int
helper_configured(struct helper *h)
{
	const struct msg_config_end end = {
		.log_level = LOG_LEVEL_WARN,
		.host_id = "aegisctl",
	};
	int r;

	r = msg_send_CONFIG_END(h->channel, 0, &end);
	return r < 0 ? r : helper_wait(h, &h->ready);
}

void
helper_stop(struct helper *h)
{
	int status;

	imsg_free(h->channel);
	if (h->base != NULL)
		event_base_free(h->base);
	if (h->pid > 0) {
		/* It holds nothing that would have to be put in order. */
		(void)kill(h->pid, SIGKILL);
		(void)waitpid(h->pid, &status, 0);
	}
	memset(h, 0, sizeof(*h));
}
