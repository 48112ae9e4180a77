/* SPDX-License-Identifier: ISC */
/*
 * agentd's events in the main thread: checked, numbered, formatted, handed
 * on; and accepted again when they are safe.
 */
#include "telemd/telemd.h"

#include <string.h>

#include "common/memfd.h"

/* Without a spool nobody keeps the exact number: leave some out instead of
 * giving them out twice. */
#define UNKEPT_SEQS 65536

/* Ids that are compared with what agentd sends first. */
#define KNOWN_MAX 65536

void
events_report_accepted(struct telemd *t)
{
	struct pipeline *p = &t->pipeline;
	struct msg_event_accepted m = { .next_seq = t->next_seq };
	uint64_t accepted;
	int r;

	(void)pthread_mutex_lock(&p->mu);
	accepted = p->accepted;
	(void)pthread_mutex_unlock(&p->mu);
	if (accepted <= t->last_accepted)
		return;
	if (t->seqstate.fd == -1)
		m.next_seq += UNKEPT_SEQS;
	r = msg_send_EVENT_ACCEPTED(t->worker.agentd, accepted, &m);
	if (r == 0)
		t->last_accepted = accepted;
	else if (r != -EPIPE)
		log_warn("cannot accept events: %s", strerror(-r));
}

/* True when the spool had it before agentd sent it again. */
static bool
is_known(const struct telemd *t, const uint8_t *event_id)
{
	size_t i;

	for (i = 0; i < t->known_count; i++)
		if (memcmp(t->known[i], event_id, sizeof(t->known[i])) == 0)
			return true;
	return false;
}

static void
fill_context(struct telemd *t, struct event_context *c, uint64_t *sent,
    uint64_t *dropped)
{
	struct pipeline *p = &t->pipeline;
	uint64_t bytes;

	(void)pthread_mutex_lock(&p->mu);
	memcpy(sent, p->sent, sizeof(p->sent));
	memcpy(dropped, p->dropped, sizeof(p->dropped));
	(void)pthread_mutex_unlock(&p->mu);
	dropped[EVENT_VIOLATION_REPORT] =
	    rings_count_lost(t, dropped[EVENT_VIOLATION_REPORT]);
	c->host_id = t->worker.host_id;
	c->agent_version = t->agent_version;
	c->sent = sent;
	c->dropped = dropped;
	c->unsure_first = t->begin.unsure_first;
	c->unsure_last = t->begin.unsure_last;
	c->violations_suppressed = t->rings.suppressed;
	spool_usage(&t->spool, &bytes, &c->spooled_events);
}

/* A batch of one; NULL when memory is short: then agentd sends it again. */
static struct batch *
make_batch(struct telemd *t, const struct msg_event *e, uint64_t number,
    const struct memfd_map *log)
{
	uint64_t sent[EVENT_TYPE_MAX], dropped[EVENT_TYPE_MAX];
	struct event_context context = { 0 };
	enum event_type type = (enum event_type)e->type;
	struct batch *b = batch_new(event_class(type));
	size_t start;

	if (b == NULL)
		return NULL;
	b->event_number = number;
	if (b->class == EVENT_DURABLE && is_known(t, e->event_id))
		return b; /* empty: only to be accepted */
	fill_context(t, &context, sent, dropped);
	start = batch_begin(b);
	event_format(&b->buf, e, t->next_seq, &context, log->data, log->len);
	if (!batch_end(b, start, type, t->next_seq, e->event_id)) {
		batch_free(b);
		return NULL;
	}
	t->next_seq++;
	return b;
}

int
events_handle(struct imsg *m, void *ctx)
{
	struct telemd *t = ctx;
	const struct msg_event *e = msg_get_EVENT(m);
	_cleanup_memfd_map_ struct memfd_map log = { 0 };
	struct batch *b;
	int r;

	if (!t->threads_running || event_check(e) < 0)
		return -EINVAL;
	if (m->fd != -1) {
		r = memfd_map(m->fd, AEGIS_VERIFIER_LOG, &log);
		if (r < 0)
			return r;
	}
	if (e->type == EVENT_PROGRAM_TELEMETRY)
		rings_update_sample(t, e);
	b = make_batch(t, e, m->id, &log);
	if (b != NULL)
		pipeline_submit(&t->pipeline, b);
	return 0;
}

static void
remember_id(const struct record *r, void *ctx)
{
	struct telemd *t = ctx;

	if (t->known_count == KNOWN_MAX)
		return;
	memcpy(t->known[t->known_count++], r->event_id, sizeof(t->known[0]));
}

static int
recover_known(struct telemd *t)
{
	uint64_t bytes, records;

	spool_usage(&t->spool, &bytes, &records);
	if (records == 0)
		return 0;
	t->known = calloc(KNOWN_MAX, sizeof(*t->known));
	if (t->known == NULL)
		return -ENOMEM;
	return spool_each_event(&t->spool, remember_id, t);
}

static void
tell_recovery(struct telemd *t)
{
	uint64_t bytes, records;

	spool_usage(&t->spool, &bytes, &records);
	if (t->spool.torn_bytes > 0)
		log_warn("the spool's end was torn: %llu bytes that were not "
			 "written to their end are cut off",
		    (unsigned long long)t->spool.torn_bytes);
	if (t->spool.bad_files > 0)
		log_error("%u files of the spool are damaged: set aside as "
			  "*.bad",
		    t->spool.bad_files);
	if (records > 0)
		log_info("%llu events wait in the spool",
		    (unsigned long long)records);
}

int
events_open_spool(struct telemd *t)
{
	const struct seqstate_record *saved = NULL;
	uint8_t boot_id[16];
	bool found = false;
	int r = 0;

	seqstate_boot_id(boot_id);
	if (t->spool_dir == -1) {
		log_warn("there is no spool: events that NATS does not take "
			 "are lost when the agent ends");
	} else {
		r = seqstate_open(&t->seqstate, t->spool_dir, &found);
		if (r == 0)
			r = spool_open(&t->spool, t->spool_dir,
			    t->spool_max_bytes,
			    found ? t->seqstate.r.confirmed : 0);
		if (r == 0)
			r = recover_known(t);
		if (r < 0) {
			log_line(LOG_LEVEL_ERROR, NULL, strerror(-r),
			    "cannot use the spool directory");
			return r;
		}
		tell_recovery(t);
	}
	saved = found ? &t->seqstate.r : NULL;
	t->begin =
	    seqstate_decide(saved, boot_id, t->spool.last_seq, t->next_seq);
	t->next_seq = t->begin.next_seq;
	memcpy(t->seqstate.r.boot_id, boot_id, sizeof(boot_id));
	if (saved != NULL)
		memcpy(t->pipeline.dropped, saved->dropped,
		    sizeof(t->pipeline.dropped));
	t->pipeline.placed = t->next_seq - 1;
	t->publisher.flushed = t->pipeline.confirmed =
	    saved != NULL ? saved->confirmed : 0;
	return 0;
}

void
events_close_spool(struct telemd *t)
{
	/* With what programs that were on their way out had lost. */
	memcpy(t->seqstate.r.dropped, t->pipeline.dropped,
	    sizeof(t->seqstate.r.dropped));
	/* Numbers given out but not confirmed are in the spool, or unsure. */
	bool clean = t->pipeline.confirmed + 1 >= t->next_seq;

	seqstate_close(&t->seqstate, t->threads_running && clean);
	spool_close(&t->spool);
	free(t->known);
	t->known = NULL;
	t->known_count = 0;
}
