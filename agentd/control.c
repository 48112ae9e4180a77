/* SPDX-License-Identifier: ISC */
#include "agentd/control.h"

#include <event2/event.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "agentd/agent.h"
#include "agentd/feed.h"
#include "agentd/fsuser.h"
#include "common/log.h"

/* Who may only read leaves some to who may act. */
#define CLIENTS_MAX 32
#define READERS_MAX 24

#define GROUP    "aegisflux"
#define NO_GROUP ((gid_t)-1)

struct client {
	TAILQ_ENTRY(client) entry;
	struct control *control;
	struct imsg_channel *channel;
	bool is_root;
	bool follows; /* and asks for nothing else any more */
	int32_t pid;
};

struct control {
	struct agent *agent;
	int fd;
	gid_t group; /* looked up once: later the sandbox is closed */
	struct event *event;
	char path[CONFIG_SOCKET_SIZE];
	TAILQ_HEAD(, client) clients;
	unsigned int count;
	unsigned int readers; /* of them not root's */
};

/* As aegisctl(8) has them. */
static const char *const command_names[CTL_COMMAND_MAX] = {
	[CTL_SNAPSHOT] = "status",
	[CTL_ROLLBACK] = "rollback",
	[CTL_UNLOAD] = "unload",
	[CTL_PARDON] = "pardon",
	[CTL_ALLOW_DOWNGRADE] = "allow-downgrade",
	[CTL_POLL] = "poll",
	[CTL_LOG_LEVEL] = "log",
	[CTL_RELOAD] = "reload",
	[CTL_EVENTS] = "events",
};

static void
drop_client(struct client *c)
{
	TAILQ_REMOVE(&c->control->clients, c, entry);
	c->control->count--;
	c->control->readers -= !c->is_root;
	feed_leave(c->control->agent->feed, c);
	imsg_free(c->channel);
	free(c);
}

static const char *
refusal_of_none(uint32_t command)
{
	switch ((enum ctl_command)command) {
	case CTL_PARDON:
		return "nothing keeps an artifact of this id from being loaded";
	case CTL_ALLOW_DOWNGRADE:
		return "no artifact of this name was ever accepted";
	default:
		return "no artifact has this id: 'aegisctl programs' lists "
		       "them";
	}
}

static const char *
refusal(uint32_t command, int r)
{
	switch (r) {
	case -ENOENT:
		return refusal_of_none(command);
	case -EBUSY:
		return "too many follow the events already";
	case -EPERM:
		return "only root may change something";
	case -EPIPE: /* of "poll", the only one that a worker must do */
		return "the registry's worker is not running: see 'aegisctl "
		       "workers'";
	default:
		return fleet_refusal(r);
	}
}

static int
set_log_level(struct agent *agent, const char *word)
{
	enum log_level level;

	if (log_level_parse(word, &level) < 0)
		return -EINVAL;
	proc_set_log_level(agent, level);
	return 0;
}

static int
allow_downgrade(struct agent *agent, const struct msg_ctl_request *request)
{
	agent->state_dirty = true;
	return state_name_allow_downgrade(
	    &agent->state, request->artifact_id, request->version);
}

static int
poll_now(struct agent *agent)
{
	const struct msg_fetch_poll msg = { 0 };

	return msg_send_FETCH_POLL(proc_channel(agent, PROC_REGISTRY), 0, &msg);
}

static int
change(struct agent *agent, const struct msg_ctl_request *request, char *text,
    size_t size)
{
	struct rollback_cause cause = { .reason = ROLLBACK_MANUAL };

	memcpy(cause.text, request->reason, sizeof(cause.text));
	switch ((enum ctl_command)request->command) {
	case CTL_ROLLBACK:
		return fleet_rollback(
		    &agent->fleet, request->artifact_id, &cause, moment_now());
	case CTL_UNLOAD:
		return fleet_unload(
		    &agent->fleet, request->artifact_id, moment_now());
	case CTL_PARDON:
		return fleet_pardon(
		    &agent->fleet, request->artifact_id, moment_now());
	case CTL_ALLOW_DOWNGRADE:
		return allow_downgrade(agent, request);
	case CTL_POLL:
		return poll_now(agent);
	case CTL_LOG_LEVEL:
		return set_log_level(agent, request->artifact_id);
	case CTL_RELOAD:
		return agent_reload(agent, text, size);
	default:
		return -EOPNOTSUPP;
	}
}

static bool
request_is_sound(const struct msg_ctl_request *request)
{
	if (request->command >= CTL_COMMAND_MAX || request->follow > 1 ||
	    !MSG_TEXT_OK(request->artifact_id) ||
	    !MSG_TEXT_OK(request->version) || !MSG_TEXT_OK(request->reason))
		return false;
	switch ((enum ctl_command)request->command) {
	case CTL_SNAPSHOT:
	case CTL_EVENTS:
	case CTL_POLL:
	case CTL_RELOAD:
		return true;
	default:
		return MSG_ID_OK(request->artifact_id);
	}
}

static void
hang_up(void *owner)
{
	drop_client(owner);
}

/* Who and where, in a snapshot, and then the events. */
static int
send_events(struct client *c, uint64_t id, const struct msg_ctl_request *want)
{
	struct agent *agent = c->control->agent;
	struct msg_ctl_reply reply = { 0 };
	int fd, r;

	fd = agent_make_snapshot(agent);
	if (fd < 0)
		return fd;
	r = msg_send_CTL_REPLY(c->channel, id, &reply, fd);
	if (r < 0)
		return r;
	r = feed_join(agent->feed, c->channel, id, want->last,
	    want->follow != 0, hang_up, c);
	if (r == -EBUSY) {
		struct msg_events_end end = { .result = r };

		str_copy_cut(
		    end.text, sizeof(end.text), refusal(CTL_EVENTS, r));
		return msg_send_EVENTS_END(c->channel, id, &end);
	}
	c->follows = r == 0 && want->follow != 0;
	return r;
}

static int
handle_request(struct imsg *m, void *ctx)
{
	const struct msg_ctl_request *request = msg_get_CTL_REQUEST(m);
	struct client *c = ctx;
	struct agent *agent = c->control->agent;
	struct msg_ctl_reply reply = { 0 };
	int fd = -1;

	if (c->follows || !request_is_sound(request))
		return -EINVAL;
	/* Each answer may be a snapshot: who wants the next reads this one. */
	if (imsg_has_unread(c->channel))
		return -EAGAIN;
	if (request->command == CTL_EVENTS)
		return send_events(c, m->id, request);
	if (request->command == CTL_SNAPSHOT) {
		fd = agent_make_snapshot(agent);
		reply.result = fd < 0 ? fd : 0;
	} else if (!c->is_root) {
		reply.result = -EPERM;
	} else {
		log_line(LOG_LEVEL_INFO, request->artifact_id, NULL,
		    "operator (pid %d) asked for: %s", c->pid,
		    command_names[request->command]);
		reply.result =
		    change(agent, request, reply.text, sizeof(reply.text));
	}
	if (reply.result < 0 && reply.text[0] == '\0')
		str_copy_cut(reply.text, sizeof(reply.text),
		    refusal(request->command, reply.result));
	agent_act(agent);
	return msg_send_CTL_REPLY(c->channel, m->id, &reply, fd);
}

static void
handle_closed(int reason, const char *text, void *ctx)
{
	struct client *c = ctx;

	if (reason != 0)
		log_line(LOG_LEVEL_WARN, NULL, text,
		    "control connection of pid %d closed", c->pid);
	drop_client(c);
}

static const imsg_handler handlers[MSG_TYPE_MAX] = {
	[MSG_CTL_REQUEST] = handle_request,
};

/* Is the peer in the group, by its own or a supplementary one? */
static bool
is_in_group(const struct control *c, int fd, const struct ucred *peer)
{
	gid_t groups[64];
	socklen_t len = sizeof(groups);
	size_t i;

	if (c->group == NO_GROUP)
		return false;
	if (peer->gid == c->group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == -1)
		return false;
	for (i = 0; i < len / sizeof(groups[0]); i++)
		if (groups[i] == c->group)
			return true;
	return false;
}

static int
add_client(struct control *control, int fd, const struct ucred *peer)
{
	struct client *c = calloc(1, sizeof(*c));
	int r;

	if (c == NULL) {
		(void)close(fd);
		return -ENOMEM;
	}
	c->control = control;
	c->is_root = peer->uid == 0;
	c->pid = peer->pid;
	r = imsg_open(&c->channel, control->agent->base, fd, PROC_AGENTD,
	    PROC_CTL, handlers, handle_closed, c);
	if (r < 0) {
		free(c);
		return r;
	}
	TAILQ_INSERT_TAIL(&control->clients, c, entry);
	control->count++;
	control->readers += !c->is_root;
	return 0;
}

static void
handle_accept(evutil_socket_t listener, short what, void *arg)
{
	struct control *c = arg;
	_cleanup_fd_ int fd = -1;
	struct ucred peer;
	socklen_t len = sizeof(peer);

	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd == -1)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == -1)
		return;
	if (c->count >= CLIENTS_MAX ||
	    (peer.uid != 0 && c->readers >= READERS_MAX))
		return;
	if (peer.uid != 0 && !is_in_group(c, fd, &peer)) {
		log_warn("control connection of uid %u refused: neither root "
			 "nor in group " GROUP,
		    peer.uid);
		return;
	}
	if (add_client(c, fd_steal(&fd), &peer) < 0)
		log_error("control connection: out of memory");
}

/* Does somebody answer at PATH? */
static bool
is_alive(const struct sockaddr_un *sun)
{
	_cleanup_fd_ int fd = -1;

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return false;
	/* EAGAIN: one that hangs, and so many wait for it. */
	return connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 ||
	    errno == EAGAIN;
}

/* In a directory with the setgid bit files are not of the maker's group. */
static int
open_to_group(const char *path, gid_t group)
{
	struct stat st;

	if (lstat(path, &st) == -1)
		return -errno;
	if (st.st_gid != group && lchown(path, (uid_t)-1, group) == -1)
		return -errno;
	return chmod(path, 0660) == -1 ? -errno : 0;
}

static int
listen_at(struct control *c, const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	mode_t old;
	int r;

	r = str_copy(sun.sun_path, sizeof(sun.sun_path), path);
	if (r < 0)
		return r;
	if (is_alive(&sun))
		return -EADDRINUSE;
	(void)unlink(path);
	c->fd =
	    socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd == -1)
		return -errno;
	old = umask(0177);
	r = fsuser_bind(c->fd, (const struct sockaddr *)&sun, sizeof(sun),
	    c->group != NO_GROUP ? c->group : getegid());
	(void)umask(old);
	if (r < 0)
		return r;
	memcpy(c->path, sun.sun_path, sizeof(c->path));
	if (c->group != NO_GROUP) {
		r = open_to_group(path, c->group);
		if (r < 0)
			return r;
	}
	return listen(c->fd, 8) == -1 ? -errno : 0;
}

int
control_open(struct control **out, struct agent *agent, const char *path)
{
	struct control *c = calloc(1, sizeof(*c));
	const struct group *group;
	int r;

	if (c == NULL)
		return -ENOMEM;
	TAILQ_INIT(&c->clients);
	c->agent = agent;
	c->fd = -1;
	group = getgrnam(GROUP);
	c->group = group != NULL ? group->gr_gid : NO_GROUP;
	r = listen_at(c, path);
	if (r == 0) {
		c->event = event_new(
		    agent->base, c->fd, EV_READ | EV_PERSIST, handle_accept, c);
		if (c->event == NULL || event_add(c->event, NULL) == -1)
			r = -ENOMEM;
	}
	if (r < 0) {
		control_close(c);
		return r;
	}
	*out = c;
	return 0;
}

void
control_close(struct control *c)
{
	struct client *client;

	if (c == NULL)
		return;
	while ((client = TAILQ_FIRST(&c->clients)) != NULL)
		drop_client(client);
	if (c->event != NULL)
		event_free(c->event);
	fd_close(&c->fd);
	if (c->path[0] != '\0')
		(void)unlink(c->path);
	free(c);
}
