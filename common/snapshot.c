/* SPDX-License-Identifier: ISC */
#include "common/snapshot.h"

#include <stdbool.h>
#include <string.h>

#include "common/records.h"
#include "common/strnum.h"

_Static_assert(sizeof(struct snapshot_header) % 8 == 0 &&
	sizeof(struct snapshot_reason) % 8 == 0 &&
	sizeof(struct snapshot_program) % 8 == 0 &&
	sizeof(struct snapshot_attach) % 8 == 0 &&
	sizeof(struct snapshot_kernel_prog) % 8 == 0 &&
	sizeof(struct snapshot_rollback) % 8 == 0 &&
	sizeof(struct snapshot_worker) % 8 == 0,
    "records follow each other at their natural alignment");

static bool
text_ok(const struct snapshot *s, struct snapshot_text t)
{
	return records_within(t.off, t.len, s->header->data_len);
}

static const char *
check_programs(const struct snapshot *s)
{
	const struct snapshot_program *p;
	uint32_t i;

	for (i = 0; i < s->header->program_count; i++) {
		p = &s->programs[i];
		if (!str_is_terminated(
			p->artifact_id, sizeof(p->artifact_id)) ||
		    !str_is_terminated(p->name, sizeof(p->name)) ||
		    !str_is_terminated(p->version, sizeof(p->version)))
			return "program: a name";
		if (p->status >= STATUS_MAX || p->unload_reason >= UNLOAD_MAX)
			return "program: status or reason";
		if (!text_ok(s, p->error) || !text_ok(s, p->parameters) ||
		    !text_ok(s, p->verifier_log))
			return "program: text outside the data";
		if (!records_within(p->attach_first, p->attach_count,
			s->header->attach_count) ||
		    !records_within(p->prog_first, p->prog_count,
			s->header->kernel_prog_count))
			return "program: attachments or kernel programs";
	}
	return NULL;
}

static const char *
check_small_records(const struct snapshot *s)
{
	uint32_t i;

	for (i = 0; i < s->header->reason_count; i++)
		if (!str_is_terminated(s->reasons[i].component,
			sizeof(s->reasons[i].component)) ||
		    !str_is_terminated(
			s->reasons[i].text, sizeof(s->reasons[i].text)))
			return "reason";
	for (i = 0; i < s->header->attach_count; i++)
		if (!str_is_terminated(s->attaches[i].program,
			sizeof(s->attaches[i].program)) ||
		    !str_is_terminated(
			s->attaches[i].target, sizeof(s->attaches[i].target)))
			return "attachment";
	for (i = 0; i < s->header->kernel_prog_count; i++)
		if (!str_is_terminated(s->kernel_progs[i].program,
			sizeof(s->kernel_progs[i].program)))
			return "kernel program";
	for (i = 0; i < s->header->worker_count; i++)
		if (s->workers[i].role >= PROC_MAX ||
		    !str_is_terminated(s->workers[i].last_exit,
			sizeof(s->workers[i].last_exit)))
			return "worker";
	return NULL;
}

static const char *
check_rollbacks(const struct snapshot *s)
{
	const struct snapshot_rollback *r;
	uint32_t i;

	for (i = 0; i < s->header->rollback_count; i++) {
		r = &s->rollbacks[i];
		if (!str_is_terminated(
			r->artifact_id, sizeof(r->artifact_id)) ||
		    !str_is_terminated(r->name, sizeof(r->name)) ||
		    !str_is_terminated(r->version, sizeof(r->version)) ||
		    !str_is_terminated(
			r->restored_version, sizeof(r->restored_version)) ||
		    !str_is_terminated(r->text, sizeof(r->text)) ||
		    !str_is_terminated(r->error, sizeof(r->error)))
			return "rollback: text";
		if (r->reason >= ROLLBACK_REASON_MAX ||
		    r->threshold >= THRESHOLD_MAX ||
		    r->status >= ROLLBACK_STATUS_MAX)
			return "rollback: a word";
	}
	return NULL;
}

int
snapshot_check(
    const void *bytes, size_t len, struct snapshot *snap, const char **what)
{
	const struct snapshot_header *h = bytes;
	const uint8_t *at = bytes;
	size_t left = len;

	memset(snap, 0, sizeof(*snap));
	*what = "header";
	snap->header = records_take(&at, &left, 1, sizeof(*h));
	if (snap->header == NULL || h->magic != SNAPSHOT_MAGIC ||
	    h->version != SNAPSHOT_VERSION || h->total_len != len ||
	    h->health > HEALTH_UNHEALTHY ||
	    !str_is_terminated(h->host_id, sizeof(h->host_id)) ||
	    !str_is_terminated(h->agent_version, sizeof(h->agent_version)) ||
	    !str_is_terminated(h->kernel_release, sizeof(h->kernel_release)) ||
	    !str_is_terminated(h->architecture, sizeof(h->architecture)))
		return -EBADMSG;
	*what = "records longer than the snapshot";
	snap->reasons =
	    records_take(&at, &left, h->reason_count, sizeof(*snap->reasons));
	snap->programs =
	    records_take(&at, &left, h->program_count, sizeof(*snap->programs));
	snap->attaches =
	    records_take(&at, &left, h->attach_count, sizeof(*snap->attaches));
	snap->kernel_progs = records_take(
	    &at, &left, h->kernel_prog_count, sizeof(*snap->kernel_progs));
	snap->rollbacks = records_take(
	    &at, &left, h->rollback_count, sizeof(*snap->rollbacks));
	snap->workers =
	    records_take(&at, &left, h->worker_count, sizeof(*snap->workers));
	if (snap->reasons == NULL || snap->programs == NULL ||
	    snap->attaches == NULL || snap->kernel_progs == NULL ||
	    snap->rollbacks == NULL || snap->workers == NULL ||
	    left != h->data_len)
		return -EBADMSG;
	snap->data = (const char *)at;
	*what = check_programs(snap);
	if (*what == NULL)
		*what = check_small_records(snap);
	if (*what == NULL)
		*what = check_rollbacks(snap);
	return *what == NULL ? 0 : -EBADMSG;
}
