/* SPDX-License-Identifier: ISC */
#include "agentd/peer_probe.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "agentd/agent.h"
#include "agentd/peer_load.h"
#include "agentd/probes.h"

static int
ask_one(struct imsg_channel *ch, const struct artifact *a, uint32_t attach)
{
	const struct custody *c = a->custody;
	const struct loadplan_attach *at = &c->loadplan.attaches[attach];
	struct msg_verify_symbol msg = { .attach = attach,
		.round = c->probes->round };

	memcpy(msg.symbol, c->loadplan.data + at->symbols_off, at->symbols_len);
	return msg_send_VERIFY_SYMBOL(
	    ch, a->handle, &msg, fd_copy(c->probes->sites[attach].fd));
}

int
peer_probe_ask(
    struct agent *agent, struct artifact *a, char *error, size_t size)
{
	struct imsg_channel *ch = proc_channel(agent, PROC_VERIFY);
	struct custody *c = a->custody;
	uint32_t i;
	int r;

	probes_free(&c->probes);
	r = probes_open(&c->loadplan, &c->probes, error, size);
	if (r < 0 || c->probes == NULL || c->probes->waiting == 0)
		return r;
	if (ch == NULL) {
		(void)snprintf(error, size,
		    "verifyd, which looks symbols up, is not there");
		return -EAGAIN;
	}
	c->probes->round = ++agent->probe_round;
	for (i = 0; i < c->loadplan.header->attach_count; i++) {
		if (!c->probes->sites[i].waiting)
			continue;
		r = ask_one(ch, a, i);
		if (r < 0) {
			proc_kill(
			    agent, PROC_VERIFY, "does not read its channel");
			(void)snprintf(
			    error, size, "verifyd: %s", strerror(-r));
			return -EAGAIN;
		}
	}
	return 1;
}

int
peer_probe_handle_symbol(struct imsg *m, void *ctx)
{
	const struct msg_verify_symbol_at *msg = msg_get_VERIFY_SYMBOL_AT(m);
	struct agent *agent = ctx;
	struct artifact *a = fleet_find(&agent->fleet, m->id);
	const struct loadplan_attach *at;
	char error[2 * AEGIS_TEXT_SIZE];
	struct probe_site *site;
	uint64_t offset;

	if (!MSG_TEXT_OK(msg->error) || msg->attach >= LOADPLAN_MAX_ATTACHES ||
	    msg->result > WORK_REFUSED)
		return -EINVAL;
	if (a == NULL || a->status != STATUS_LOADING || !a->working ||
	    a->custody->probes == NULL ||
	    a->custody->probes->round != msg->round)
		return 0; /* late */
	site = &a->custody->probes->sites[msg->attach];
	if (!site->waiting)
		return -EINVAL;
	at = &a->custody->loadplan.attaches[msg->attach];
	if (msg->result != WORK_OK ||
	    __builtin_add_overflow(msg->offset, at->offset, &offset) ||
	    offset > INT64_MAX) {
		(void)snprintf(error, sizeof(error), "%s: \"%.*s\": %s",
		    attach_row(at->kind)->name, (int)at->name_len, at->target,
		    msg->result != WORK_OK ? msg->error : "no such offset");
		peer_load_fail(agent, a, WORK_REFUSED, error);
		return 0;
	}
	site->offset = offset;
	site->waiting = false;
	if (--a->custody->probes->waiting == 0)
		peer_load_send(agent, a);
	return 0;
}

void
peer_probe_verifyd_died(struct agent *agent)
{
	struct artifact *a;

	TAILQ_FOREACH (a, &agent->fleet.artifacts, entry)
		if (a->status == STATUS_LOADING && a->working &&
		    a->custody->probes != NULL &&
		    a->custody->probes->waiting > 0)
			peer_load_fail(agent, a, WORK_TRANSIENT,
			    "verifyd died while it looked for a symbol");
}

int
peer_probe_open(
    struct artifact *a, struct broker_events *events, char *error, size_t size)
{
	struct custody *c = a->custody;
	int r;

	error[0] = '\0';
	r = broker_open_events(&c->loadplan, c->probes, events, error, size);
	probes_free(&c->probes);
	if (r == 0 &&
	    events->count > CUSTODY_MAX_LINKS - LOADPLAN_MAX_ATTACHES) {
		(void)snprintf(error, size,
		    "%zu perf events, at most %d may be: one an attachment, or "
		    "one a processor where it samples",
		    events->count, CUSTODY_MAX_LINKS - LOADPLAN_MAX_ATTACHES);
		broker_events_release(events);
		return -E2BIG;
	}
	if (r < 0 && error[0] == '\0')
		(void)snprintf(error, size, "perf event: %s", strerror(-r));
	return r;
}

int
peer_probe_send(struct imsg_channel *ch, const struct artifact *a,
    struct broker_events *events)
{
	struct msg_load_perf msg;
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < events->count; i++) {
		msg = (struct msg_load_perf){ .attach = events->items[i].attach,
			.cpu = events->items[i].cpu };
		r = msg_send_LOAD_PERF(
		    ch, a->handle, &msg, fd_steal(&events->items[i].fd));
	}
	broker_events_release(events);
	return r;
}
