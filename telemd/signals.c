/* SPDX-License-Identifier: ISC */
/*
 * Rollback signals: from the broker to agentd, and agentd's answer back.
 */
#include "telemd/telemd.h"

#include "common/clock.h"
#include "telemd/signal.h"

/* Signals that agentd has not answered yet. */
#define PENDING_MAX 256

/* A key that is no key lets nothing pass, instead of everything. */
void
signals_init(struct telemd *t)
{
	const char *key = t->broker.secrets[SECRET_SIGNAL_KEY];

	t->signals_signed = key != NULL;
	if (key != NULL && sigcheck_init(&t->sigcheck, key) < 0)
		log_error("AGENT_ROLLBACK_SIGNAL_KEY is no Ed25519 public key: "
			  "all rollback signals are refused");
}

static void
answer(struct telemd *t, const char *subject, bool accepted, const char *error)
{
	struct jsonbuf json = { 0 };

	if (subject[0] == '\0')
		return;
	jsonbuf_lit(&json, "{\"status\":");
	if (accepted)
		jsonbuf_lit(&json, "\"accepted\"");
	else
		jsonbuf_lit(&json, "\"rejected\"");
	if (!accepted) {
		jsonbuf_lit(&json, ",\"error\":");
		jsonbuf_string(&json, error, strlen(error));
	}
	jsonbuf_lit(&json, "}");
	pipeline_reply(&t->pipeline, subject, &json);
}

static void
refuse(struct telemd *t, const struct signal_message *s, const char *why)
{
	(void)pthread_mutex_lock(&t->pipeline.mu);
	t->pipeline.bad_signals++;
	(void)pthread_mutex_unlock(&t->pipeline.mu);
	log_line(LOG_LEVEL_WARN, NULL, why,
	    "a rollback signal of %zu bytes is refused", s->len);
	answer(t, s->reply, false, why);
}

static void
forward(struct telemd *t, const struct signal_message *s)
{
	struct msg_signal_rollback m;
	struct pending_signal *pending;
	enum signal_verdict verdict;
	const char *why = NULL;
	bool to_all;
	int r;

	if (!signal_is_ours(s->subject, t->worker.host_id, &to_all)) {
		refuse(t, s, "its subject is another host's");
		return;
	}
	verdict = to_all
	    ? signal_parse_action(s->data, s->len, t->worker.host_id, &m, &why)
	    : signal_parse_rollback(s->data, s->len, &m, &why);
	if (verdict == SIGNAL_NOT_FOR_US)
		return;
	if (verdict == SIGNAL_FOR_US && t->signals_signed)
		why = sigcheck_verify(&t->sigcheck, s->subject, s->time,
		    s->signature, s->data, s->len, clock_wall_ns());
	if (verdict == SIGNAL_MALFORMED || why != NULL) {
		refuse(t, s, why);
		return;
	}
	if (t->pending_count >= PENDING_MAX) {
		refuse(t, s, "too many signals wait for an answer");
		return;
	}
	pending = calloc(1, sizeof(*pending));
	if (pending == NULL)
		return;
	pending->id = ++t->next_signal_id;
	str_copy_cut(pending->reply, sizeof(pending->reply), s->reply);
	r = msg_send_SIGNAL_ROLLBACK(t->worker.agentd, pending->id, &m);
	if (r < 0) {
		free(pending);
		refuse(t, s, "the agent is busy");
		return;
	}
	TAILQ_INSERT_TAIL(&t->pending, pending, entry);
	t->pending_count++;
}

void
signals_forward(struct telemd *t)
{
	struct pipeline *p = &t->pipeline;
	struct signal_list list = STAILQ_HEAD_INITIALIZER(list);
	struct signal_message *s;

	(void)pthread_mutex_lock(&p->mu);
	STAILQ_CONCAT(&list, &p->signals);
	p->signal_count = 0;
	(void)pthread_mutex_unlock(&p->mu);
	while ((s = STAILQ_FIRST(&list)) != NULL) {
		STAILQ_REMOVE_HEAD(&list, entry);
		forward(t, s);
		free(s);
	}
}

int
signals_handle_reply(struct imsg *m, void *ctx)
{
	struct telemd *t = ctx;
	const struct msg_signal_reply *reply = msg_get_SIGNAL_REPLY(m);
	struct pending_signal *pending;

	if (reply->accepted > 1 || !MSG_TEXT_OK(reply->error))
		return -EINVAL;
	TAILQ_FOREACH (pending, &t->pending, entry)
		if (pending->id == m->id)
			break;
	if (pending == NULL) {
		log_warn("agentd answers signal %llu, which nobody sent",
		    (unsigned long long)m->id);
		return 0;
	}
	answer(t, pending->reply, reply->accepted == 1, reply->error);
	TAILQ_REMOVE(&t->pending, pending, entry);
	t->pending_count--;
	free(pending);
	return 0;
}

void
signals_free(struct telemd *t)
{
	struct pending_signal *pending;

	while ((pending = TAILQ_FIRST(&t->pending)) != NULL) {
		TAILQ_REMOVE(&t->pending, pending, entry);
		free(pending);
	}
	sigcheck_free(&t->sigcheck);
}
