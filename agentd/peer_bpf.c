/* SPDX-License-Identifier: ISC */
/*
 * bpfd: a verified object goes to it, descriptors come back.  It keeps
 * nothing that matters: a new one is told of all that runs (adoption).
 */
#include "agentd/peer_bpf.h"

#include <string.h>

#include "agentd/agent.h"
#include "agentd/holder.h"
#include "agentd/peer_links.h"
#include "agentd/peer_params.h"
#include "agentd/peer_restore.h"
#include "agentd/rings.h"
#include "common/log.h"

/* An hour: agentd waits for none so long. */
#define LOAD_MAX_US (UINT64_C(3600) * 1000000)

void
peer_bpf_forget(struct agent *agent, const struct artifact *a)
{
	const struct msg_bpf_forget forget = { 0 };
	struct imsg_channel *ch = proc_channel(agent, PROC_BPF);

	if (ch != NULL && msg_send_BPF_FORGET(ch, a->handle, &forget) < 0)
		proc_kill(agent, PROC_BPF, "does not read its channel");
}

void
peer_bpf_sample(struct agent *agent)
{
	struct msg_bpf_sample sample = { .round = ++agent->sample_round };
	struct imsg_channel *ch = proc_channel(agent, PROC_BPF);

	if (ch != NULL && msg_send_BPF_SAMPLE(ch, 0, &sample) < 0)
		proc_kill(agent, PROC_BPF, "does not read its channel");
}

/* The artifact that bpfd is loading, with a plan; or NULL. */
static struct artifact *
being_loaded(struct agent *agent, const struct imsg *m)
{
	struct artifact *a = fleet_find(&agent->fleet, m->id);

	if (a == NULL || a->status != STATUS_LOADING || !a->working ||
	    a->custody->loadplan.header == NULL)
		return NULL;
	return a;
}

static int
handle_prog(struct imsg *m, void *ctx)
{
	const struct msg_load_prog *prog = msg_get_LOAD_PROG(m);
	struct artifact *a = being_loaded(ctx, m);

	if (a == NULL)
		return 0;
	if (prog->index >= a->custody->loadplan.header->prog_count ||
	    a->custody->progs[prog->index] >= 0)
		return -EINVAL;
	a->custody->progs[prog->index] = imsg_take_fd(m);
	a->custody->prog_ids[prog->index] = prog->prog_id;
	a->custody->prog_confirmed[prog->index] = false;
	memcpy(
	    a->custody->prog_tags[prog->index], prog->tag, sizeof(prog->tag));
	return 0;
}

static int
handle_map(struct imsg *m, void *ctx)
{
	const struct msg_load_map *map = msg_get_LOAD_MAP(m);
	struct artifact *a = being_loaded(ctx, m);

	if (a == NULL)
		return 0;
	if (map->index >= a->custody->loadplan.header->map_count ||
	    a->custody->maps[map->index] >= 0)
		return -EINVAL;
	a->custody->maps[map->index] = imsg_take_fd(m);
	return 0;
}

static int
handle_link(struct imsg *m, void *ctx)
{
	const struct msg_load_link *link = msg_get_LOAD_LINK(m);
	struct agent *agent = ctx;
	struct artifact *a = being_loaded(agent, m);
	uint32_t at;
	int r;

	if (a == NULL) {
		closer_close_unwanted(agent->closer, imsg_take_fd(m));
		return 0;
	}
	if (link->attach >= a->custody->loadplan.header->attach_count ||
	    !str_is_text(link->interface, sizeof(link->interface)) ||
	    (link->ifindex | link->cpu) >= CUSTODY_AT_CPU)
		return -EINVAL;
	at = link->ifindex;
	if (a->custody->loadplan.attaches[link->attach].kind ==
	    ATTACH_PERF_EVENT)
		at = CUSTODY_AT_CPU | link->cpu;
	r = custody_add_link(a->custody, link->attach, at, link->interface,
	    imsg_take_fd(m), link->link_id);
	if (r == 0)
		a->custody->links[a->custody->link_count - 1].generation =
		    agent->interfaces.generation;
	return r;
}

static int
handle_filter(struct imsg *m, void *ctx)
{
	const struct msg_load_filter *msg = msg_get_LOAD_FILTER(m);
	struct agent *agent = ctx;
	struct artifact *a = being_loaded(agent, m);
	int r;

	if (!tc_filter_is_sound(&msg->filter) ||
	    !str_is_text(msg->interface, sizeof(msg->interface)))
		return -EINVAL;
	if (a == NULL) {
		/* Not wanted any more; so many is no honest bpfd. */
		if (agent->filters.count >= TC_FILTERS_MAX)
			return -E2BIG;
		filters_detach(&msg->filter, 0, agent);
		return 0;
	}
	if (msg->attach >= a->custody->loadplan.header->attach_count)
		return -EINVAL;
	r = custody_add_filter(
	    a->custody, msg->attach, msg->interface, &msg->filter);
	if (r == 0)
		a->custody->links[a->custody->link_count - 1].generation =
		    agent->interfaces.generation;
	return r;
}

/* The predecessor's link runs the new program now: it changes hands. */
static int
handle_updated(struct imsg *m, void *ctx)
{
	const struct msg_load_updated *updated = msg_get_LOAD_UPDATED(m);
	struct agent *agent = ctx;
	struct artifact *a = being_loaded(agent, m), *p;

	if (a == NULL)
		return 0;
	if (!a->custody->offered_links)
		return -EINVAL;
	p = fleet_find(&agent->fleet, a->predecessor);
	if (p == NULL || !artifact_is_loaded(p)) {
		a->custody->links_lost = true;
		return 0;
	}
	agent->snapshot_dirty = true; /* of both, where they are attached */
	return custody_take_over(
	    a->custody, p->custody, updated->attach, updated->ifindex);
}

static int
handle_verifier_log(struct imsg *m, void *ctx)
{
	struct artifact *a = being_loaded(ctx, m);
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	int r;

	if (a == NULL)
		return 0;
	r = memfd_map(m->fd, AEGIS_VERIFIER_LOG, &map);
	if (r < 0)
		return r;
	fd_close(&a->custody->verifier_log);
	a->custody->verifier_log = imsg_take_fd(m);
	return 0;
}

static void
count_load_time(struct observed *seen, const struct msg_load_done *done)
{
	static const uint64_t bounds_us[] = { 1000, 2000, 5000, 10000, 20000,
		50000, 100000, 200000, 500000, 1000000, 2000000 };
	uint64_t us = done->load_us + done->attach_us;
	size_t i;

	for (i = 0; i < nitems(bounds_us) && us > bounds_us[i]; i++)
		continue;
	seen->load_buckets[i]++;
	seen->load_sum_us += us;
}

/*
 * A load failed: links it had taken over go back to whose they were; if that
 * one has ended meanwhile, they go with the load.
 */
static void
give_back_links(struct agent *agent, struct artifact *a)
{
	struct artifact *p = fleet_find(&agent->fleet, a->predecessor);

	if (p == NULL || p->custody == NULL || !artifact_is_loaded(p))
		return;
	custody_give_back(a->custody, p->custody);
	custody_withdraw(p->custody);
	restore_links(agent, p);
}

/* Attached to nothing where its links are lost, A cannot stay as it is. */
static void
load_again(struct agent *agent, struct artifact *a)
{
	log_line(LOG_LEVEL_INFO, a->listing.artifact_id, NULL,
	    "what it was to replace ended while it was loaded: loading anew");
	closer_close(agent->closer, a->custody, 0);
	peer_bpf_forget(agent, a);
	fleet_load_again(&agent->fleet, a, moment_now());
}

static int
handle_done(struct imsg *m, void *ctx)
{
	const struct msg_load_done *done = msg_get_LOAD_DONE(m);
	struct agent *agent = ctx;
	struct artifact *a = being_loaded(agent, m);
	char error[AEGIS_ERROR_SIZE];

	if (done->result > WORK_VERIFIER ||
	    !str_is_terminated(done->error, sizeof(done->error)) ||
	    (done->load_us | done->attach_us) > LOAD_MAX_US)
		return -EINVAL;
	if (a == NULL)
		return 0;
	if (done->result == WORK_OK && a->custody->links_lost) {
		load_again(agent, a);
		return 0;
	}
	if (done->result == WORK_OK) {
		if (!custody_is_complete(a->custody))
			return -EBADMSG; /* loaded, it said */
		count_load_time(&agent->observed, done);
		fd_close(&a->custody->verifier_log);
		rings_hand_over(agent, a);
	} else {
		give_back_links(agent, a);
		closer_close(agent->closer, a->custody, 0);
	}
	str_copy_cut(error, sizeof(error), done->error);
	holder_add(agent, done->holder_id, error, sizeof(error));
	fleet_load_done(&agent->fleet, a, (enum work_result)done->result, error,
	    moment_now());
	if (done->result == WORK_OK)
		links_settle(agent, a);
	return 0;
}

static int
handle_sampled(struct imsg *m, void *ctx)
{
	const struct msg_bpf_sampled *sampled = msg_get_BPF_SAMPLED(m);
	struct agent *agent = ctx;
	struct artifact *a = fleet_find(&agent->fleet, m->id);
	struct moment now = moment_now();

	if (sampled->round > agent->sample_round || sampled->boot_ns < 0 ||
	    sampled->boot_ns > now.boot_ns + NSEC_PER_SEC)
		return -EINVAL;
	if (a == NULL)
		return 0;
	/* Each is an event: one for each time that it was asked. */
	if (sampled->round <= a->sampled_round)
		return -EINVAL;
	a->sampled_round = sampled->round;
	fleet_sampled(&agent->fleet, a, sampled, now);
	return 0;
}

static int
handle_sample_end(struct imsg *m, void *ctx)
{
	struct agent *agent = ctx;

	agent->snapshot_dirty = true;
	return 0;
}

static int
configure(struct agent *agent, struct imsg_channel *ch)
{
	struct msg_bpf_config config = {
		.filter_owner = agent->state.filter_owner,
	};

	memcpy(
	    config.cgroup_root, agent->cgroup_root, sizeof(config.cgroup_root));
	return msg_send_BPF_CONFIG(ch, 0, &config);
}

/* Tell a new bpfd of what runs, so that it can sample it. */
static int
send_adoption(struct imsg_channel *ch, const struct artifact *a)
{
	const struct custody *c = a->custody;
	struct msg_load_plan plan = { 0 };
	struct msg_load_prog prog = { 0 };
	struct msg_load_map map = { 0 };
	uint32_t i;
	int r;

	memcpy(
	    plan.artifact_id, a->listing.artifact_id, sizeof(plan.artifact_id));
	r = msg_send_ADOPT_PLAN(ch, a->handle, &plan, fd_copy(c->plan));
	for (i = 0; r == 0 && i < c->loadplan.header->prog_count; i++) {
		if (c->progs[i] < 0)
			continue;
		prog.index = i;
		prog.prog_id = c->prog_ids[i];
		memcpy(prog.tag, c->prog_tags[i], sizeof(prog.tag));
		r = msg_send_ADOPT_PROG(
		    ch, a->handle, &prog, fd_copy(c->progs[i]));
	}
	for (i = 0; r == 0 && i < c->loadplan.header->map_count; i++) {
		if (c->maps[i] < 0)
			continue;
		map.index = i;
		r = msg_send_ADOPT_MAP(
		    ch, a->handle, &map, fd_copy(c->maps[i]));
	}
	return r;
}

static void
ready(struct agent *agent)
{
	struct imsg_channel *ch = proc_channel(agent, PROC_BPF);
	struct artifact *a;

	TAILQ_FOREACH (a, &agent->fleet.artifacts, entry) {
		if (!artifact_is_loaded(a) || a->custody->plan < 0)
			continue;
		if (send_adoption(ch, a) < 0) {
			proc_kill(agent, PROC_BPF, "does not read its channel");
			return;
		}
	}
	filters_tell(agent);
	restore_all(agent);
	links_resume(agent);
	agent->fleet.can_load = true;
	fleet_tick(&agent->fleet, moment_now());
}

/* What it was loading is half there: all of that goes. */
static void
died(struct agent *agent, const char *how)
{
	struct artifact *a;

	filters_lost(agent);
	agent->links_asked = 0;
	TAILQ_FOREACH (a, &agent->fleet.artifacts, entry)
		if (a->status == STATUS_LOADING && a->working) {
			give_back_links(agent, a);
			closer_close(agent->closer, a->custody, 0);
		}
	agent->fleet.can_load = false;
	fleet_worker_died(&agent->fleet, PROC_BPF, how, moment_now());
}

static const imsg_handler handlers[MSG_TYPE_MAX] = {
	[MSG_LOAD_PROG] = handle_prog,
	[MSG_LOAD_MAP] = handle_map,
	[MSG_LOAD_LINK] = handle_link,
	[MSG_LOAD_FILTER] = handle_filter,
	[MSG_LOAD_UPDATED] = handle_updated,
	[MSG_LOAD_VERIFIER_LOG] = handle_verifier_log,
	[MSG_LOAD_DONE] = handle_done,
	[MSG_UPDATE_DONE] = peer_params_handle_done,
	[MSG_INTERFACES] = links_handle_interfaces,
	[MSG_LINK_ATTACHED] = links_handle_attached,
	[MSG_LINK_RESTORED] = restore_handle_restored,
	[MSG_FILTER_DETACHED] = filters_handle_detached,
	[MSG_FILTER_CHECKED] = links_handle_checked,
	[MSG_FILTERS_KEPT] = filters_handle_kept,
	[MSG_BPF_SAMPLED] = handle_sampled,
	[MSG_BPF_SAMPLE_END] = handle_sample_end,
};

const struct peer peer_bpf = {
	.handlers = handlers,
	.configure = configure,
	.ready = ready,
	.died = died,
};
