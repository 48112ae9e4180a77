/* SPDX-License-Identifier: ISC */
#include "agentd/peer_restore.h"

#include "agentd/agent.h"
#include "agentd/linkinfo.h"
#include "agentd/peer_links.h"
#include "common/attach.h"
#include "common/log.h"

/* Does LINK run another program than C's? */
static bool
is_swapped(const struct custody *c, const struct custody_link *link)
{
	const struct loadplan_attach *a = &c->loadplan.attaches[link->attach];
	struct link_seen seen;

	/* Filters: filters_tell(). */
	if (link->state != LINK_HELD || link->fd < 0 ||
	    link->offered != UINT32_MAX || !attach_row(a->kind)->link_update)
		return false;
	return linkinfo_read(link->fd, -1, &seen) == 0 && seen.attached &&
	    seen.prog_id != c->prog_ids[a->prog];
}

void
restore_links(struct agent *agent, struct artifact *a)
{
	struct imsg_channel *ch = proc_channel(agent, PROC_BPF);
	struct msg_link_restore msg = { 0 };
	struct custody_link *link;
	unsigned int n = 0;
	size_t i;

	if (ch == NULL || !links_are_followed(a))
		return; /* restore_all() */
	for (i = 0; i < a->custody->link_count; i++) {
		link = &a->custody->links[i];
		if (!is_swapped(a->custody, link))
			continue;
		msg.attach = link->attach;
		msg.ifindex = link->ifindex;
		link->state = LINK_RESTORED;
		n++;
		if (msg_send_LINK_RESTORE(
			ch, a->handle, &msg, fd_copy(link->fd)) < 0) {
			proc_kill(agent, PROC_BPF, "does not read its channel");
			return;
		}
	}
	if (n > 0)
		log_line(LOG_LEVEL_WARN, a->listing.artifact_id, NULL,
		    "%u of its links run the program of a version that did not "
		    "come to be: given its own back",
		    n);
}

void
restore_all(struct agent *agent)
{
	struct artifact *a;
	size_t i;

	TAILQ_FOREACH (a, &agent->fleet.artifacts, entry) {
		for (i = 0; a->custody != NULL && i < a->custody->link_count;
		     i++)
			if (a->custody->links[i].state == LINK_RESTORED)
				a->custody->links[i].state = LINK_HELD;
		restore_links(agent, a);
	}
}

int
restore_handle_restored(struct imsg *m, void *ctx)
{
	const struct msg_link_restored *msg = msg_get_LINK_RESTORED(m);
	struct agent *agent = ctx;
	struct artifact *a = fleet_find(&agent->fleet, m->id);
	struct custody_link *link = NULL;
	char place[LINKS_PLACE_SIZE];

	if (msg->result >= WORK_RESULT_MAX || !MSG_TEXT_OK(msg->error))
		return -EINVAL;
	if (a != NULL && links_are_followed(a))
		link = custody_find_link(a->custody, msg->attach, msg->ifindex);
	if (link == NULL || link->state != LINK_RESTORED)
		return 0; /* it changed hands, or has gone */
	link->state = LINK_HELD;
	/* If not, the next check attaches it anew, unless its place has gone */
	if (msg->result != WORK_OK)
		log_line(LOG_LEVEL_WARN, a->listing.artifact_id, msg->error,
		    "%s: cannot be given its own program back in place",
		    links_describe(a->custody, link, place, sizeof(place)));
	return 0;
}
