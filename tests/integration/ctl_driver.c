/* SPDX-License-Identifier: ISC */
/*
 * Plays agentd's control socket for aegisctl: answers one request after the
 * other, with a made-up snapshot or by echoing what was asked, and prints
 * each request.
 *
 *	ctl_driver path [ok | mute | bad | HEALTH]
 *
 * mute never answers, bad sends a snapshot that is none, HEALTH (0 1 2) is
 * that of the snapshot.  Requests for an artifact "missing" get -ENOENT,
 * for "denied" -EPERM.
 */
#include <event2/event.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/clock.h"
#include "common/memfd.h"
#include "common/msg.h"
#include "synthetic.h"

struct driver {
	struct event_base *base;
	struct imsg_channel *peer;
	const char *mode;
};

static int
make_snapshot(const struct driver *d)
{
	struct synthetic spec = {
		.generation = 1,
		.host_id = "host-001",
		.programs = 11,
		.mixed = 1,
		.rollbacks = 4,
		.boot_ns = clock_boot_ns(),
		.wall_ns = clock_wall_ns(),
		.uptime_sec = 8130,
		.ttl_sec = 3600,
		.beat = 5,
	};
	void *bytes;
	size_t len;
	int fd;

	if (d->mode[0] >= '0' && d->mode[0] <= '2')
		spec.health = (uint32_t)(d->mode[0] - '0');
	if (strcmp(d->mode, "bad") == 0)
		return memfd_from_bytes("snapshot", "bad", 3);
	synthetic_snapshot(&spec, &bytes, &len);
	fd = memfd_from_bytes("snapshot", bytes, len);
	free(bytes);
	return fd;
}

static int
handle_request(struct imsg *m, void *ctx)
{
	const struct msg_ctl_request *request = msg_get_CTL_REQUEST(m);
	struct msg_ctl_reply reply = { 0 };
	struct driver *d = ctx;
	int fd = -1;

	(void)printf("request %u [%s] [%s] [%s]\n", request->command,
	    request->artifact_id, request->version, request->reason);
	(void)fflush(stdout);
	if (strcmp(d->mode, "mute") == 0)
		return 0;
	if (request->command == CTL_SNAPSHOT)
		fd = make_snapshot(d);
	else if (strcmp(request->artifact_id, "missing") == 0)
		reply.result = -ENOENT;
	else if (strcmp(request->artifact_id, "denied") == 0)
		reply.result = -EPERM;
	(void)snprintf(reply.text, sizeof(reply.text), "command %u: \x1b[31m%s",
	    request->command, request->artifact_id);
	return msg_send_CTL_REPLY(d->peer, m->id, &reply, fd);
}

static void
handle_closed(int reason, const char *text, void *ctx)
{
	struct driver *d = ctx;

	imsg_free(d->peer);
	d->peer = NULL;
}

static void
handle_accept(evutil_socket_t fd, short what, void *arg)
{
	static const imsg_handler handlers[MSG_TYPE_MAX] = {
		[MSG_CTL_REQUEST] = handle_request,
	};
	struct driver *d = arg;
	int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (peer == -1)
		return;
	imsg_free(d->peer);
	d->peer = NULL;
	if (imsg_open(&d->peer, d->base, peer, PROC_AGENTD, PROC_CTL, handlers,
		handle_closed, d) < 0)
		exit(1);
}

int
main(int argc, char **argv)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct driver d = { .mode = argc > 2 ? argv[2] : "ok" };
	struct event *listener;
	int fd;

	if (argc < 2 || str_copy(addr.sun_path, sizeof(addr.sun_path), argv[1]))
		return 64;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd == -1 ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == -1 ||
	    listen(fd, 8) == -1)
		return 1;
	d.base = event_base_new();
	listener =
	    event_new(d.base, fd, EV_READ | EV_PERSIST, handle_accept, &d);
	if (listener == NULL || event_add(listener, NULL) == -1)
		return 1;
	(void)printf("listening\n");
	(void)fflush(stdout);
	(void)event_base_dispatch(d.base);
	return 0;
}
