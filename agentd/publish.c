/* SPDX-License-Identifier: ISC */
/*
 * The snapshot: what apid and aegisctl may show, as of now.
 */
#include <string.h>
#include <sys/stat.h>

#include "aegis_config.h"
#include "agentd/agent.h"
#include "agentd/events.h"
#include "agentd/health.h"
#include "common/log.h"

/* A growing run of bytes. */
struct buffer {
	char *bytes;
	size_t len;
	size_t room;
};

static void
reserve(struct buffer *b, size_t len)
{
	if (len <= b->room - b->len)
		return;
	b->room = (b->room + len) * 2;
	b->bytes = realloc(b->bytes, b->room);
	if (b->bytes == NULL)
		fatal("out of memory");
}

static void
append(struct buffer *b, const void *data, size_t len)
{
	reserve(b, len);
	if (len > 0)
		memcpy(b->bytes + b->len, data, len);
	b->len += len;
}

struct builder {
	struct snapshot_header header;
	struct buffer reasons;
	struct buffer programs;
	struct buffer attaches;
	struct buffer kernel_progs;
	struct buffer rollbacks;
	struct buffer workers;
	struct buffer data;
};

static struct snapshot_text
add_text(struct builder *b, const void *data, size_t len)
{
	struct snapshot_text t = {
		.off = (uint32_t)b->data.len,
		.len = (uint32_t)len,
	};

	append(&b->data, data, len);
	return t;
}

/*
 * What a memfd holds.  Read, not mapped: there is one for each program and
 * snapshot, and what unmapping costs on all processors is more than a copy.
 */
static struct snapshot_text
add_memfd(struct builder *b, int fd, size_t max)
{
	struct snapshot_text t = { .off = (uint32_t)b->data.len };
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) == -1 || st.st_size <= 0 ||
	    (size_t)st.st_size > max)
		return t;
	reserve(&b->data, (size_t)st.st_size);
	n = pread(fd, b->data.bytes + b->data.len, (size_t)st.st_size, 0);
	if (n > 0) {
		t.len = (uint32_t)n;
		b->data.len += (size_t)n;
	}
	return t;
}

static void
add_attachments(
    struct builder *b, const struct artifact *a, struct snapshot_program *p)
{
	const struct custody *c = a->custody;
	struct snapshot_kernel_prog prog = { 0 };
	struct snapshot_attach attach = { 0 };
	const struct loadplan_attach *from;
	const struct custody_link *link;
	uint32_t i;

	p->attach_first = b->header.attach_count;
	p->prog_first = b->header.kernel_prog_count;
	if (c == NULL || c->loadplan.header == NULL || !artifact_is_loaded(a))
		return;
	for (i = 0; i < c->link_count; i++) {
		link = &c->links[i];
		if (!custody_link_is_held(link))
			continue;
		from = &c->loadplan.attaches[link->attach];
		memcpy(attach.program, c->loadplan.progs[from->prog].name,
		    sizeof(attach.program));
		str_copy_cut(attach.target, sizeof(attach.target),
		    link->interface[0] != '\0' ? link->interface : from->target);
		attach.kind = from->kind;
		attach.link_id = link->link_id;
		attach.filter = link->filter;
		append(&b->attaches, &attach, sizeof(attach));
		p->attach_count++;
	}
	for (i = 0; i < c->loadplan.header->prog_count; i++) {
		if (c->progs[i] < 0)
			continue;
		memcpy(prog.program, c->loadplan.progs[i].name,
		    sizeof(prog.program));
		prog.prog_id = c->prog_ids[i];
		memcpy(prog.tag, c->prog_tags[i], sizeof(prog.tag));
		append(&b->kernel_progs, &prog, sizeof(prog));
		p->prog_count++;
	}
	b->header.attach_count += p->attach_count;
	b->header.kernel_prog_count += p->prog_count;
}

static void
add_program(struct builder *b, const struct artifact *a)
{
	struct snapshot_program p = {
		.status = (uint32_t)a->status,
		.unload_reason = (uint32_t)a->unload_reason,
		.loaded_wall_ns = a->loaded_wall_ns,
		.ttl_sec = a->ttl_sec,
		.sampled_wall_ns = a->sampled_wall_ns,
		.telemetry = a->telemetry,
		.listed = a->listed,
	};
	int64_t expires = artifact_expires_boot_ns(a);

	memcpy(p.artifact_id, a->listing.artifact_id, sizeof(p.artifact_id));
	memcpy(p.name, a->listing.name, sizeof(p.name));
	memcpy(p.version, a->listing.version, sizeof(p.version));
	memcpy(p.sha256, a->listing.sha256, sizeof(p.sha256));
	if (artifact_is_loaded(a) && expires != INT64_MAX)
		p.expires_boot_ns = expires;
	p.error =
	    add_text(b, a->error, a->error != NULL ? strlen(a->error) : 0);
	p.parameters =
	    add_memfd(b, a->custody != NULL ? a->custody->effective : -1,
		AEGIS_PARAMETERS_MAX);
	p.verifier_log =
	    add_memfd(b, a->custody != NULL ? a->custody->verifier_log : -1,
		AEGIS_VERIFIER_LOG);
	add_attachments(b, a, &p);
	append(&b->programs, &p, sizeof(p));
	b->header.program_count++;
}

static void
add_workers(struct builder *b, const struct agent *agent)
{
	const struct worker_proc *w;
	struct snapshot_worker s;
	int role;

	for (role = PROC_FIRST_WORKER; role <= PROC_LAST_WORKER; role++) {
		w = &agent->workers[role];
		if (w->state == WORKER_OFF)
			continue;
		memset(&s, 0, sizeof(s));
		s.role = (uint32_t)role;
		s.ready = w->state == WORKER_READY;
		s.pid = w->channel != NULL ? w->pid : 0;
		s.restarts = w->restarts;
		s.since_boot_ns = w->since_boot_ns;
		memcpy(s.last_exit, w->last_exit, sizeof(s.last_exit));
		append(&b->workers, &s, sizeof(s));
		b->header.worker_count++;
	}
}

static void
add_reasons(struct builder *b, const struct agent *agent)
{
	struct snapshot_reason reasons[HEALTH_REASONS_MAX];
	size_t n = health_find(agent, moment_now(), reasons, nitems(reasons));

	b->header.reason_count = (uint32_t)n;
	b->header.health = health_of(reasons, n);
	append(&b->reasons, reasons, n * sizeof(reasons[0]));
}

static void
fill_counters(struct snapshot_header *h, const struct agent *agent)
{
	const struct observed *seen = &agent->observed;
	const struct fleet *f = &agent->fleet;
	size_t i;

	h->max_programs = f->rules.max_programs;
	h->from_cache = seen->from_cache;
	h->loads_ok = f->loads_ok;
	h->loads_failed = f->loads_failed;
	memcpy(h->unloads, f->unloads, sizeof(h->unloads));
	h->rollbacks = f->rollbacks;
	h->verify_refused = f->verify_refused;
	memcpy(h->polls, seen->polls, sizeof(h->polls));
	h->last_poll_wall_ns = seen->last_good_poll_wall_ns;
	h->protocol_violations = seen->protocol_violations;
	h->drift_found = seen->drift_found;
	h->drift_repaired = seen->drift_repaired;
	memcpy(h->events_sent, seen->telem.shown.sent, sizeof(h->events_sent));
	for (i = 0; i < EVENT_TYPE_MAX; i++)
		h->events_dropped[i] = seen->telem.shown.dropped[i] +
		    events_dropped(agent->events, (enum event_type)i);
	h->violations_suppressed = seen->telem.shown.violations_suppressed;
	h->nats_reconnects = seen->telem.shown.reconnects;
	h->nats_bad_signals = seen->telem.shown.bad_signals;
	h->nats_connected = seen->telem.shown.connected;
	h->spool_bytes = seen->telem.shown.spooled_bytes;
	h->spool_events = seen->telem.shown.spooled_events;
	memcpy(h->load_buckets, seen->load_buckets, sizeof(h->load_buckets));
	h->load_sum_us = seen->load_sum_us;
}

static void
fill_header(struct builder *b, const struct agent *agent)
{
	struct snapshot_header *h = &b->header;

	h->magic = SNAPSHOT_MAGIC;
	h->version = SNAPSHOT_VERSION;
	h->generation = agent->snapshot_generation;
	h->content = agent->snapshot_generation;
	h->taken_wall_ns = clock_wall_ns();
	h->taken_boot_ns = clock_boot_ns();
	h->started_wall_ns = agent->started.wall_ns;
	h->started_boot_ns = agent->started.boot_ns;
	str_copy_cut(h->host_id, sizeof(h->host_id), agent->config.host_id);
	str_copy_cut(h->agent_version, sizeof(h->agent_version), AEGIS_VERSION);
	str_copy_cut(h->kernel_release, sizeof(h->kernel_release),
	    agent->kernel_release);
	str_copy_cut(
	    h->architecture, sizeof(h->architecture), agent->architecture);
	fill_counters(h, agent);
}

static int
finish(struct builder *b)
{
	struct buffer *parts[] = { &b->reasons, &b->programs, &b->attaches,
		&b->kernel_progs, &b->rollbacks, &b->workers, &b->data };
	struct buffer all = { 0 };
	size_t i, len = sizeof(b->header);
	int fd;

	for (i = 0; i < nitems(parts); i++)
		len += parts[i]->len;
	b->header.data_len = (uint32_t)b->data.len;
	b->header.total_len = len;
	append(&all, &b->header, sizeof(b->header));
	for (i = 0; i < nitems(parts); i++) {
		append(&all, parts[i]->bytes, parts[i]->len);
		free(parts[i]->bytes);
	}
	fd = all.len > AEGIS_SNAPSHOT_MAX
	    ? -EFBIG
	    : memfd_from_bytes("snapshot", all.bytes, all.len);
	free(all.bytes);
	return fd;
}

int
agent_make_snapshot(struct agent *agent)
{
	struct builder b = { 0 };
	const struct artifact *a;

	agent->snapshot_generation++;
	fill_header(&b, agent);
	add_reasons(&b, agent);
	TAILQ_FOREACH (a, &agent->fleet.artifacts, entry)
		add_program(&b, a);
	append(&b.rollbacks, agent->state.rollbacks,
	    agent->state.rollback_count * sizeof(*agent->state.rollbacks));
	b.header.rollback_count = (uint32_t)agent->state.rollback_count;
	add_workers(&b, agent);
	return finish(&b);
}

void
agent_publish(struct agent *agent)
{
	struct imsg_channel *ch = proc_channel(agent, PROC_API);
	struct msg_api_snapshot msg = { 0 };
	int fd;

	agent->snapshot_dirty = false;
	if (ch == NULL)
		return;
	fd = agent_make_snapshot(agent);
	if (fd < 0) {
		log_error("cannot make a snapshot: %s", strerror(-fd));
		return;
	}
	msg.generation = agent->snapshot_generation;
	if (msg_send_API_SNAPSHOT(ch, 0, &msg, fd) < 0)
		proc_kill(agent, PROC_API, "does not read its channel");
}
