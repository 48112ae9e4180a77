/* SPDX-License-Identifier: ISC */
#include "agentd/rings.h"

#include <string.h>

#include "agentd/agent.h"
#include "common/log.h"

/* The ring, or (LOST) the map that counts what found no room in it. */
static int
send_map(
    struct imsg_channel *ch, const struct artifact *a, uint32_t map, bool lost)
{
	const struct loadplan_map *m = &a->custody->loadplan.maps[map];
	const struct msg_ring_lost none = { 0 };
	struct msg_ring_add ring = { .max_entries = m->max_entries };
	int fd = fd_copy(a->custody->maps[map]);

	if (fd == -1)
		return -errno;
	if (lost)
		return msg_send_RING_LOST(ch, a->handle, &none, fd);
	memcpy(
	    ring.artifact_id, a->listing.artifact_id, sizeof(ring.artifact_id));
	memcpy(ring.name, a->listing.name, sizeof(ring.name));
	memcpy(ring.version, a->listing.version, sizeof(ring.version));
	return msg_send_RING_ADD(ch, a->handle, &ring, fd);
}

/* The map with FLAG, which an object has once at most. */
static int
hand_over(struct imsg_channel *ch, const struct artifact *a, uint32_t flag)
{
	const struct custody *c = a->custody;
	uint32_t i;

	for (i = 0; i < c->loadplan.header->map_count; i++)
		if ((c->loadplan.maps[i].flags & flag) && c->maps[i] >= 0)
			return send_map(ch, a, i, flag == LOADPLAN_MAP_LOST);
	return -ENOENT;
}

void
rings_hand_over(struct agent *agent, const struct artifact *a)
{
	struct imsg_channel *ch = proc_channel(agent, PROC_TELEM);
	int r;

	if (ch == NULL)
		return; /* telemd is told of all when it is ready */
	r = hand_over(ch, a, LOADPLAN_MAP_EVENTS);
	if (r == 0)
		r = hand_over(ch, a, LOADPLAN_MAP_LOST);
	if (r < 0 && r != -ENOENT)
		log_line(LOG_LEVEL_WARN, a->listing.artifact_id, NULL,
		    "telemd cannot be given the event ring");
}

void
rings_hand_over_all(struct agent *agent)
{
	struct artifact *a;

	TAILQ_FOREACH (a, &agent->fleet.artifacts, entry)
		if (artifact_is_loaded(a) &&
		    a->custody->loadplan.header != NULL)
			rings_hand_over(agent, a);
}

void
rings_let_go(struct agent *agent, uint64_t handle)
{
	const struct msg_ring_remove ring = { 0 };
	const struct artifact *a = fleet_find(&agent->fleet, handle);
	struct imsg_channel *ch = proc_channel(agent, PROC_TELEM);

	if (ch != NULL && msg_send_RING_REMOVE(ch, handle, &ring) < 0)
		log_line(LOG_LEVEL_WARN,
		    a != NULL ? a->listing.artifact_id : NULL, NULL,
		    "telemd cannot be told that the program goes");
}
