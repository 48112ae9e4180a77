/* SPDX-License-Identifier: ISC */
/*
 * telemd: events go to it; orchestrators' signals come from it.  It can ask
 * for a rollback and for nothing else.
 */
#include <string.h>

#include "aegis_config.h"
#include "agentd/agent.h"
#include "agentd/events.h"
#include "agentd/rings.h"
#include "agentd/secrets.h"
#include "common/log.h"

/* Less than what telemd leaves out without a spool (its UNKEPT_SEQS). */
#define EVENT_SEQ_STRIDE 4096

/* No host gets there; and from there on is room for as many again. */
#define EVENT_SEQ_LIKELY (AEGIS_COUNT_MAX / 2)

static int
handle_accepted(struct imsg *m, void *ctx)
{
	const struct msg_event_accepted *accepted = msg_get_EVENT_ACCEPTED(m);
	struct agent *agent = ctx;

	/*
	 * What a telemd that was taken over says must not leave the next one
	 * without numbers.
	 */
	if (accepted->next_seq > agent->state.next_event_seq &&
	    accepted->next_seq <= EVENT_SEQ_LIKELY)
		agent->state.next_event_seq = accepted->next_seq;
	/*
	 * telemd keeps the number with its spool; ours is for when that is
	 * lost, or there is none and the number runs far ahead.  Not worth two
	 * fsync(2) for each sample of each program, nor for each message of a
	 * telemd that wants to keep the disk busy.
	 */
	if (agent->state.next_event_seq >=
		agent->saved_event_seq + EVENT_SEQ_STRIDE &&
	    clock_boot_ns() >= agent->saved_boot_ns + NSEC_PER_SEC)
		agent->state_dirty = true;
	if (events_accepted(agent->events, m->id) < 0)
		return -EINVAL;
	events_pump(agent);
	return 0;
}

static int
handle_signal(struct imsg *m, void *ctx)
{
	const struct msg_signal_rollback *signal = msg_get_SIGNAL_ROLLBACK(m);
	struct agent *agent = ctx;
	struct rollback_cause cause = {
		.reason = ROLLBACK_ORCHESTRATOR_SIGNAL,
	};
	struct msg_signal_reply reply = { 0 };
	int r;

	if (!MSG_ID_OK(signal->artifact_id) || !MSG_TEXT_OK(signal->reason) ||
	    !MSG_TEXT_OK(signal->request_id))
		return -EINVAL;
	memcpy(cause.text, signal->reason, sizeof(cause.text));
	r = fleet_rollback(
	    &agent->fleet, signal->artifact_id, &cause, moment_now());
	reply.accepted = r == 0;
	if (r < 0)
		(void)snprintf(reply.error, sizeof(reply.error), "%s: %s",
		    signal->artifact_id, fleet_refusal(r));
	/* What comes of nothing may be said without end. */
	if (r == 0 ||
	    worker_log_admit(&agent->workers[PROC_TELEM].log, clock_boot_ns()))
		log_line(r == 0 ? LOG_LEVEL_WARN : LOG_LEVEL_INFO,
		    signal->artifact_id, r == 0 ? NULL : reply.error,
		    "orchestrator asked for a rollback%s%s",
		    signal->reason[0] != '\0' ? ": " : "", signal->reason);
	return msg_send_SIGNAL_REPLY(
	    proc_channel(agent, PROC_TELEM), m->id, &reply);
}

static int
handle_state(struct imsg *m, void *ctx)
{
	const struct msg_telem_state *state = msg_get_TELEM_STATE(m);
	struct agent *agent = ctx;
	const struct msg_telem_state *seen = &agent->observed.telem.shown;

	if (!MSG_TEXT_OK(state->error) || !telem_totals_is_sound(state))
		return -EINVAL;
	if (state->connected != seen->connected ||
	    state->spool_full != seen->spool_full)
		agent->snapshot_dirty = true;
	telem_totals_update(
	    &agent->observed.telem, state, agent->spool_dir >= 0);
	return 0;
}

static int
send_connection(struct agent *agent, struct imsg_channel *ch)
{
	const struct config *c = &agent->config;
	int r;

	/* A URL with a password in it is a secret as a whole. */
	if (config_url_has_secret(c->nats_url)) {
		r = secrets_send_text(ch, SECRET_URL, c->nats_url);
		if (r < 0)
			return r;
	}
	if ((r = secrets_send_file(ch, SECRET_NATS_CREDS, c->nats_creds)) < 0 ||
	    (r = secrets_send_file(ch, SECRET_CA, c->nats_ca)) < 0 ||
	    (r = secrets_send_file(ch, SECRET_CERT, c->nats_cert)) < 0 ||
	    (r = secrets_send_file(ch, SECRET_KEY, c->nats_key)) < 0)
		return r;
	return secrets_send_public_key(
	    ch, SECRET_SIGNAL_KEY, c->rollback_signal_key);
}

static int
configure(struct agent *agent, struct imsg_channel *ch)
{
	const struct config *c = &agent->config;
	const struct msg_telem_spool spool = { 0 };
	struct msg_telem_config config = {
		.next_seq = agent->state.next_event_seq,
		.spool_max_bytes = c->spool_max_mb << 20,
		.violation_rate = c->violation_rate,
	};
	int r;

	if ((r = str_copy(config.subject, sizeof(config.subject),
		 c->telemetry_subject)) < 0 ||
	    (r = str_copy(config.host_id, sizeof(config.host_id), c->host_id)) <
		0 ||
	    (r = str_copy(config.agent_version, sizeof(config.agent_version),
		 AEGIS_VERSION)) < 0 ||
	    (r = str_copy(
		 config.stream, sizeof(config.stream), c->nats_stream)) < 0)
		return r;
	if (!config_url_has_secret(c->nats_url) &&
	    (r = str_copy(config.url, sizeof(config.url), c->nats_url)) < 0)
		return r;
	r = msg_send_TELEM_CONFIG(ch, 0, &config);
	if (r == 0 && agent->spool_dir >= 0)
		r = msg_send_TELEM_SPOOL(
		    ch, 0, &spool, fd_copy(agent->spool_dir));
	return r < 0 ? r : send_connection(agent, ch);
}

static void
ready(struct agent *agent)
{
	events_resend(agent);
	rings_hand_over_all(agent);
}

static void
died(struct agent *agent, const char *how)
{
	telem_totals_end(&agent->observed.telem);
}

static const imsg_handler handlers[MSG_TYPE_MAX] = {
	[MSG_EVENT_ACCEPTED] = handle_accepted,
	[MSG_SIGNAL_ROLLBACK] = handle_signal,
	[MSG_TELEM_STATE] = handle_state,
};

const struct peer peer_telem = {
	.handlers = handlers,
	.configure = configure,
	.ready = ready,
	.died = died,
};
