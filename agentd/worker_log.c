/* SPDX-License-Identifier: ISC */
#include "agentd/worker_log.h"

#include <inttypes.h>

#include "common/log.h"

void
worker_log_init(struct worker_log *wl, int64_t now_ns)
{
	ratelimit_init(&wl->limit, WORKER_LOG_RATE, now_ns);
	wl->left_out = 0;
}

void
worker_log_tell(struct worker_log *wl, enum proc_role role)
{
	if (wl->left_out == 0)
		return;
	log_warn("%" PRIu64 " log lines of %s are left out: more than %d a "
		 "second",
	    wl->left_out, proc_name(role), WORKER_LOG_RATE);
	wl->left_out = 0;
}

bool
worker_log_admit(struct worker_log *wl, int64_t now_ns)
{
	ratelimit_refill(&wl->limit, now_ns);
	if (ratelimit_take(&wl->limit))
		return true;
	wl->left_out++;
	return false;
}

int
worker_log_write(struct worker_log *wl, enum proc_role role,
    const struct msg_worker_log *line, int64_t now_ns)
{
	if (line->level >= LOG_LEVEL_MAX || !MSG_TEXT_OK(line->text) ||
	    !MSG_TEXT_OK(line->artifact_id) || !MSG_TEXT_OK(line->error))
		return -EINVAL;
	if (worker_log_admit(wl, now_ns))
		log_write_for(proc_name(role), (enum log_level)line->level,
		    line->artifact_id, line->error, line->text);
	return 0;
}
