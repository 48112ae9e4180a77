/* SPDX-License-Identifier: ISC */
#include "bpfd/reply.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "common/msg.h"

static int
duplicate(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return copy == -1 ? -errno : copy;
}

static int
send_programs(struct imsg_channel *agentd, const struct artifact *a)
{
	struct msg_load_prog msg;
	uint32_t i;
	int fd, r;

	for (i = 0; i < nitems(a->progs); i++) {
		if (a->progs[i].fd < 0)
			continue;
		fd = duplicate(a->progs[i].fd);
		if (fd < 0)
			return fd;
		msg = (struct msg_load_prog){
			.index = i,
			.prog_id = a->progs[i].prog_id,
		};
		memcpy(msg.tag, a->progs[i].tag, sizeof(msg.tag));
		r = msg_send_LOAD_PROG(agentd, a->id, &msg, fd);
		if (r < 0)
			return r;
	}
	return 0;
}

static int
send_maps(struct imsg_channel *agentd, const struct artifact *a)
{
	struct msg_load_map msg;
	uint32_t i;
	int fd, r;

	for (i = 0; i < nitems(a->maps); i++) {
		if (a->maps[i].fd < 0)
			continue;
		fd = duplicate(a->maps[i].fd);
		if (fd < 0)
			return fd;
		msg = (struct msg_load_map){
			.index = i,
			.map_id = a->maps[i].map_id,
		};
		r = msg_send_LOAD_MAP(agentd, a->id, &msg, fd);
		if (r < 0)
			return r;
	}
	return 0;
}

static int
send_updated(
    struct imsg_channel *agentd, uint64_t id, uint32_t attach, uint32_t ifindex)
{
	struct msg_load_updated msg = {
		.attach = attach,
		.ifindex = ifindex,
	};

	return msg_send_LOAD_UPDATED(agentd, id, &msg);
}

static int
send_filter(
    struct imsg_channel *agentd, uint64_t id, const struct load_link *link)
{
	struct msg_load_filter msg = {
		.attach = link->attach,
		.filter = link->filter,
	};

	memcpy(msg.interface, link->place.interface, sizeof(msg.interface));
	return msg_send_LOAD_FILTER(agentd, id, &msg);
}

/* Links leave this process; updates are told also after a failure. */
static int
send_links(struct imsg_channel *agentd, struct load *l)
{
	struct msg_load_link msg;
	struct load_link *link;
	size_t i;
	int r = 0;

	for (i = 0; i < l->link_count && r == 0; i++) {
		link = &l->links[i];
		if (link->updated) {
			r = send_updated(agentd, l->artifact->id, link->attach,
			    link->place.ifindex);
		} else if (link->filter.handle != 0) {
			r = send_filter(agentd, l->artifact->id, link);
		} else if (link->fd >= 0) {
			msg = (struct msg_load_link){
				.attach = link->attach,
				.link_id = link->link_id,
				.ifindex = link->place.ifindex,
			};
			memcpy(msg.interface, link->place.interface,
			    sizeof(msg.interface));
			r = msg_send_LOAD_LINK(
			    agentd, l->artifact->id, &msg, fd_steal(&link->fd));
		}
	}
	for (i = 0; i < l->perf_count && r == 0; i++) {
		if (l->perfs[i].link_fd < 0)
			continue; /* it failed before it came to that */
		msg = (struct msg_load_link){
			.attach = l->perfs[i].attach,
			.link_id = l->perfs[i].link_id,
			.cpu = l->perfs[i].cpu,
		};
		r = msg_send_LOAD_LINK(agentd, l->artifact->id, &msg,
		    fd_steal(&l->perfs[i].link_fd));
	}
	return r;
}

static int
send_verifier_log(struct imsg_channel *agentd, const struct load *l)
{
	struct msg_load_verifier_log msg = { { 0 } };
	int fd;

	if (l->verifier_log == NULL)
		return 0;
	fd = memfd_from_bytes(
	    "verifier-log", l->verifier_log, l->verifier_log_len);
	if (fd < 0)
		return 0; /* the reason is in LOAD_DONE's text, too */
	return msg_send_LOAD_VERIFIER_LOG(agentd, l->artifact->id, &msg, fd);
}

int
reply_send(struct imsg_channel *agentd, struct load *l)
{
	struct msg_load_done done = {
		.result = l->failure.result,
		.holder_id = l->failure.holder_id,
		.load_us = l->load_us,
		.attach_us = l->attach_us,
	};
	int r = 0;

	if (l->failure.result == WORK_OK && !l->kept) {
		r = send_programs(agentd, l->artifact);
		if (r == 0)
			r = send_maps(agentd, l->artifact);
	}
	if (r == 0)
		r = send_links(agentd, l);
	if (r == 0)
		r = send_verifier_log(agentd, l);
	if (r < 0)
		return r;
	str_copy_cut(done.error, sizeof(done.error), l->failure.text);
	return msg_send_LOAD_DONE(agentd, l->artifact->id, &done);
}
