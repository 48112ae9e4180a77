/* SPDX-License-Identifier: ISC */
#include "agentd/peer_params.h"

#include "agentd/agent.h"
#include "common/log.h"

bool
peer_params_change(struct agent *agent, struct artifact *a)
{
	struct artifact *p = fleet_runs_already(&agent->fleet, a);
	struct imsg_channel *ch = proc_channel(agent, PROC_BPF);
	struct msg_update_plan msg = { .take_back = a->half_changed };

	if (p == NULL || p->custody == NULL ||
	    p->custody->loadplan.header == NULL)
		return false;
	msg.running = p->handle;
	if (ch == NULL ||
	    msg_send_UPDATE_PLAN(
		ch, a->handle, &msg, fd_copy(a->custody->plan)) < 0)
		proc_kill(agent, PROC_BPF, "does not read its channel");
	return true;
}

int
peer_params_handle_done(struct imsg *m, void *ctx)
{
	const struct msg_update_done *done = msg_get_UPDATE_DONE(m);
	struct agent *agent = ctx;
	struct fleet *f = &agent->fleet;
	struct artifact *a = fleet_find(f, m->id), *p;

	if (done->in_place > 1 || done->mixed > 1 ||
	    !str_is_terminated(done->error, sizeof(done->error)))
		return -EINVAL;
	if (a == NULL || a->status != STATUS_LOADING || !a->working)
		return 0;
	p = fleet_runs_already(f, a);
	if (done->in_place && p != NULL) {
		custody_exchange_files(a->custody, p->custody);
		fleet_params_changed(f, a, p, moment_now());
		return 0;
	}
	if (done->mixed) {
		log_line(LOG_LEVEL_ERROR, a->listing.artifact_id, done->error,
		    "some of the new parameters are in force, not all, until "
		    "the program is replaced");
		fleet_params_mixed(f, a);
	} else if (p != NULL) {
		log_line(LOG_LEVEL_INFO, a->listing.artifact_id, done->error,
		    "parameters cannot be changed in place: loading anew");
	}
	fleet_load_anew(f, a, moment_now());
	return 0;
}
