/* SPDX-License-Identifier: ISC */
#include "aegisctl/client.h"

#include <event2/event.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

struct exchange {
	struct event_base *base;
	struct client_reply *reply;
	bool answered;
	int error; /* a negative errno with its line in the reply's text */
};

_printf_(3, 4) static int fail(
    struct client_reply *reply, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(reply->text, sizeof(reply->text), fmt, ap);
	va_end(ap);
	return error;
}

int
client_read_snapshot(struct client_reply *reply, int fd)
{
	const char *what = "mapping";
	int r;

	r = memfd_map(fd, AEGIS_SNAPSHOT_MAX, &reply->map);
	if (r == 0)
		r = snapshot_check(
		    reply->map.data, reply->map.len, &reply->snapshot, &what);
	if (r == 0)
		return 0;
	memset(&reply->snapshot, 0, sizeof(reply->snapshot));
	return fail(reply, -EPROTO,
	    "agentd's snapshot cannot be read (%s): is it of the same version "
	    "as this aegisctl?",
	    what);
}

static int
handle_ctl_reply(struct imsg *m, void *ctx)
{
	const struct msg_ctl_reply *got = msg_get_CTL_REPLY(m);
	struct exchange *x = ctx;

	if (!str_is_terminated(got->text, sizeof(got->text)) ||
	    got->result > 0 || x->answered)
		return -EINVAL;
	x->answered = true;
	x->reply->result = got->result;
	memcpy(x->reply->text, got->text, sizeof(got->text));
	if (m->fd >= 0)
		x->error = client_read_snapshot(x->reply, m->fd);
	(void)event_base_loopbreak(x->base);
	return 0;
}

static void
handle_closed(int reason, const char *text, void *ctx)
{
	struct exchange *x = ctx;

	if (!x->answered && x->error == 0)
		x->error = fail(x->reply, reason != 0 ? reason : -ECONNRESET,
		    "agentd closed the connection without an answer (%s); its "
		    "log says why",
		    text);
	(void)event_base_loopbreak(x->base);
}

int
client_connect(const char *path, struct client_reply *reply)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_fd_ int fd = -1;

	if (str_copy(addr.sun_path, sizeof(addr.sun_path), path) < 0)
		return fail(reply, -ENAMETOOLONG,
		    "%s: longer than a socket's path may be (%zu bytes)", path,
		    sizeof(addr.sun_path) - 1);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return fail(reply, -errno, "socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == -1) {
		int error = errno;

		if (error == ENOENT || error == ECONNREFUSED)
			return fail(reply, -error,
			    "no agent listens on %s: it is not running, or "
			    "its socket is elsewhere (-s)",
			    path);
		if (error == EACCES || error == EPERM)
			return fail(reply, -EACCES,
			    "%s: not permitted; this needs root or the group "
			    "aegisflux",
			    path);
		return fail(reply, -error, "%s: %s", path, strerror(error));
	}
	if (fcntl(fd, F_SETFL, O_NONBLOCK) == -1)
		return fail(reply, -errno, "fcntl: %s", strerror(errno));
	return fd_steal(&fd);
}

static int
exchange_run(struct exchange *x, int fd, const struct msg_ctl_request *request)
{
	static const struct timeval patience = { .tv_sec = CLIENT_TIMEOUT_SEC };
	static const imsg_handler handlers[MSG_TYPE_MAX] = {
		[MSG_CTL_REPLY] = handle_ctl_reply,
	};
	struct imsg_channel *agentd = NULL;
	int r;

	r = imsg_open(&agentd, x->base, fd, PROC_CTL, PROC_AGENTD, handlers,
	    handle_closed, x);
	if (r == 0)
		r = msg_send_CTL_REQUEST(agentd, 1, request);
	/* A refusal may have come before the request could go out. */
	if (r == 0 || r == -EPIPE) {
		(void)event_base_loopexit(x->base, &patience);
		(void)event_base_dispatch(x->base);
		r = x->error;
		if (r == 0 && !x->answered)
			r = fail(x->reply, -ETIMEDOUT,
			    "agentd did not answer within %d s",
			    CLIENT_TIMEOUT_SEC);
	} else {
		(void)fail(x->reply, r, "cannot ask agentd: %s", strerror(-r));
	}
	imsg_free(agentd);
	return r;
}

int
client_ask(const char *path, const struct msg_ctl_request *request,
    struct client_reply *reply)
{
	struct exchange x = { .reply = reply };
	int fd, r;

	memset(reply, 0, sizeof(*reply));
	fd = client_connect(path, reply);
	if (fd < 0)
		return fd;
	x.base = event_base_new();
	if (x.base == NULL) {
		fd_close(&fd);
		return fail(reply, -ENOMEM, "no event loop");
	}
	r = exchange_run(&x, fd, request);
	event_base_free(x.base);
	return r;
}

void
client_reply_clear(struct client_reply *reply)
{
	memfd_unmap(&reply->map);
	memset(&reply->snapshot, 0, sizeof(reply->snapshot));
}
