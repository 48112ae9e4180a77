/* SPDX-License-Identifier: ISC */
#include "synthetic.h"

#include <stdarg.h>
#include <string.h>

#include "common/attach.h"
#include "common/clock.h"
#include "common/strnum.h"

struct builder {
	const struct synthetic *spec;
	struct snapshot_header header;
	struct snapshot_reason reasons[4];
	struct snapshot_program *programs;
	struct snapshot_attach *attaches;
	struct snapshot_kernel_prog *kernel_progs;
	struct snapshot_rollback *rollbacks;
	struct snapshot_worker workers[6];
	char *data;
};

static void *
need(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

_printf_(3, 4) static void set(char *dst, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(dst, size, fmt, ap);
	va_end(ap);
}
#define SET(field, ...) set((field), sizeof(field), __VA_ARGS__)

static struct snapshot_text
add_text(struct builder *b, const char *s)
{
	struct snapshot_text t = { b->header.data_len, (uint32_t)strlen(s) };

	b->data = need(realloc(b->data, t.off + t.len + 1));
	memcpy(b->data + t.off, s, t.len);
	b->header.data_len += t.len;
	return t;
}

static void
fill_header(struct builder *b)
{
	const struct synthetic *spec = b->spec;
	struct snapshot_header *h = &b->header;
	int i;

	h->magic = SNAPSHOT_MAGIC;
	h->version = SNAPSHOT_VERSION;
	h->generation = spec->generation;
	h->content = spec->content;
	h->taken_wall_ns = spec->wall_ns;
	h->taken_boot_ns = spec->boot_ns;
	h->started_wall_ns = spec->wall_ns - spec->uptime_sec * NSEC_PER_SEC;
	h->started_boot_ns = spec->boot_ns - spec->uptime_sec * NSEC_PER_SEC;
	SET(h->host_id, "%s", spec->host_id);
	SET(h->agent_version, "1.0.0");
	SET(h->kernel_release, "6.1.0-test");
	SET(h->architecture, "x86_64");
	h->health = spec->health;
	h->max_programs = 10;
	h->loads_ok = 12;
	h->loads_failed = 3;
	for (i = 1; i < UNLOAD_MAX; i++)
		h->unloads[i] = (uint64_t)i;
	h->rollbacks = spec->rollbacks;
	h->verify_refused = 2;
	h->polls[0] = 5;
	h->polls[1] = 40;
	h->polls[2] = 1;
	h->last_poll_wall_ns = spec->wall_ns - NSEC_PER_SEC;
	for (i = 0; i < EVENT_TYPE_MAX; i++)
		h->events_sent[i] = 10 * (uint64_t)i;
	h->events_dropped[EVENT_VIOLATION_REPORT] = 4;
	h->nats_connected = spec->health == HEALTH_HEALTHY;
	for (i = 0; i < SNAPSHOT_LOAD_BUCKETS; i++)
		h->load_buckets[i] = (uint64_t)(i % 4);
	h->load_sum_us = 1234567;
}

static void
fill_reasons(struct builder *b)
{
	if (b->spec->health == HEALTH_HEALTHY)
		return;
	SET(b->reasons[0].component, "registry");
	SET(b->reasons[0].text, "poll failed 3 times: connection refused");
	SET(b->reasons[1].component, "nats");
	SET(b->reasons[1].text, "not connected: no servers available");
	b->header.reason_count = 2;
	if (b->spec->health == HEALTH_UNHEALTHY) {
		SET(b->reasons[2].component, "bpfd");
		SET(b->reasons[2].text, "in back-off after 5 exits");
		b->reasons[2].unhealthy = 1;
		b->header.reason_count = 3;
	}
}

static void
fill_telemetry(struct builder *b, struct telemetry *t, uint32_t i)
{
	double beat = b->spec->beat + i;

	t->cpu_percent = 0.5 + (double)((uint32_t)(beat * 7) % 40) / 10;
	t->latency_ms = 0.012;
	t->memory_kb = 64 + i;
	t->packets_processed = (uint64_t)(beat * 1000);
	t->violations = (uint64_t)(beat * 3);
	t->errors = i % 2;
	t->run_count = (uint64_t)(beat * 1100);
	t->run_time_ns = (uint64_t)(beat * 1100 * 300);
}

static void
make_awkward(struct builder *b, struct snapshot_program *p, uint32_t i)
{
	p->status = i % STATUS_MAX;
	switch (p->status) {
	case STATUS_DISCOVERED:
	case STATUS_DOWNLOADING:
	case STATUS_VERIFYING:
	case STATUS_LOADING:
		p->loaded_wall_ns = 0;
		p->expires_boot_ns = 0;
		p->sampled_wall_ns = 0;
		memset(&p->telemetry, 0, sizeof(p->telemetry));
		break;
	case STATUS_LOADED:
		p->ttl_sec = 0;
		p->expires_boot_ns = 0;
		p->telemetry.packets_processed = UINT64_MAX;
		break;
	case STATUS_EXPIRED:
		p->unload_reason = UNLOAD_TTL_EXPIRED;
		p->expires_boot_ns = b->spec->boot_ns - NSEC_PER_SEC;
		break;
	case STATUS_FAILED:
		p->error = add_text(b,
		    "load refused: map \"rules\" <b>\x01\xff\xc3\xa9</b> "
		    "\\ \"quoted\"\nsecond line");
		p->verifier_log = add_text(
		    b, "0: R1=ctx(off=0,imm=0)\n1: (85) call unknown#999\n");
		break;
	default:
		break;
	}
}

static void
fill_program(struct builder *b, uint32_t i)
{
	const struct synthetic *spec = b->spec;
	struct snapshot_program *p = &b->programs[i];
	struct snapshot_attach *a = &b->attaches[2 * i];
	struct snapshot_kernel_prog *k = &b->kernel_progs[2 * i];
	uint32_t n;

	SET(p->artifact_id, "artifact-%03u", i);
	SET(p->name, i % 2 ? "drop_egress_by_cgroup" : "xdp_drop_cidr");
	SET(p->version, "1.%u.0", i);
	memset(p->sha256, (int)i, sizeof(p->sha256));
	p->status = STATUS_RUNNING;
	p->ttl_sec = spec->ttl_sec;
	p->loaded_wall_ns = spec->wall_ns - spec->ttl_sec * NSEC_PER_SEC / 2;
	p->expires_boot_ns = spec->boot_ns + spec->ttl_sec * NSEC_PER_SEC / 2;
	p->sampled_wall_ns = spec->wall_ns;
	p->listed = 1;
	fill_telemetry(b, &p->telemetry, i);
	p->parameters = add_text(b,
	    "{\"dst_port\":443,\"interface\":\"eth0\",\"deny\":{\"key\":"
	    "[\"10.0.0.0/8\",\"192.0.2.0/24\"]}}");
	p->attach_first = p->prog_first = 2 * i;
	p->attach_count = p->prog_count = 2;
	for (n = 0; n < 2; n++) {
		SET(a[n].program, n ? "egress" : "xdp_drop");
		SET(a[n].target, n ? "/sys/fs/cgroup/user.slice" : "eth0");
		a[n].kind = n % ATTACH_KIND_MAX;
		a[n].link_id = 100 + i * 2 + n;
		SET(k[n].program, n ? "egress" : "xdp_drop");
		k[n].prog_id = 200 + i * 2 + n;
		memset(k[n].tag, 0xab, sizeof(k[n].tag));
	}
	if (spec->mixed)
		make_awkward(b, p, i);
}

static void
fill_rollback(struct builder *b, uint32_t i)
{
	struct snapshot_rollback *r = &b->rollbacks[i];

	SET(r->artifact_id, "artifact-%03u", i);
	SET(r->name, "xdp_drop_cidr");
	SET(r->version, "1.%u.0", i);
	if (i % 2)
		SET(r->restored_version, "1.%u.0", i - 1);
	SET(r->text, "violations 120 over the limit of 100");
	r->reason = i % ROLLBACK_REASON_MAX;
	r->threshold = i % THRESHOLD_MAX;
	r->status = ROLLBACK_COMPLETED;
	if (i % 3 == 2) {
		r->status = ROLLBACK_FAILED;
		SET(r->error, "link 17: Device or resource busy");
	}
	r->value = 120.5;
	r->limit = 100;
	r->wall_ns = b->spec->wall_ns - (int64_t)i * 60 * NSEC_PER_SEC;
}

static void
fill_workers(struct builder *b)
{
	uint32_t i;

	for (i = 0; i < nitems(b->workers); i++) {
		b->workers[i].role = PROC_FIRST_WORKER + i;
		b->workers[i].ready = 1;
		b->workers[i].pid = 1000 + (int)i;
		b->workers[i].since_boot_ns = b->header.started_boot_ns;
	}
	if (b->spec->health == HEALTH_UNHEALTHY) {
		b->workers[3].ready = 0;
		b->workers[3].pid = 0;
		b->workers[3].restarts = 5;
		SET(b->workers[3].last_exit, "killed by signal 31 (SIGSYS)");
	}
	b->header.worker_count = nitems(b->workers);
}

static char *
put(char *at, const void *from, size_t len)
{
	if (len > 0)
		memcpy(at, from, len);
	return at + len;
}

static void
assemble(struct builder *b, void **bytes, size_t *len)
{
	struct snapshot_header *h = &b->header;
	const struct {
		const void *from;
		size_t len;
	} parts[] = {
		{ h, sizeof(*h) },
		{ b->reasons, h->reason_count * sizeof(*b->reasons) },
		{ b->programs, h->program_count * sizeof(*b->programs) },
		{ b->attaches, h->attach_count * sizeof(*b->attaches) },
		{ b->kernel_progs,
		    h->kernel_prog_count * sizeof(*b->kernel_progs) },
		{ b->rollbacks, h->rollback_count * sizeof(*b->rollbacks) },
		{ b->workers, h->worker_count * sizeof(*b->workers) },
		{ b->data, h->data_len },
	};
	size_t i;
	char *at;

	*len = 0;
	for (i = 0; i < nitems(parts); i++)
		*len += parts[i].len;
	h->total_len = *len;
	*bytes = at = need(malloc(*len));
	for (i = 0; i < nitems(parts); i++)
		at = put(at, parts[i].from, parts[i].len);
}

void
synthetic_snapshot(const struct synthetic *spec, void **bytes, size_t *len)
{
	struct builder b = { .spec = spec };
	uint32_t i;

	b.programs = need(calloc(spec->programs + 1, sizeof(*b.programs)));
	b.attaches = need(calloc(2 * spec->programs + 1, sizeof(*b.attaches)));
	b.kernel_progs =
	    need(calloc(2 * spec->programs + 1, sizeof(*b.kernel_progs)));
	b.rollbacks = need(calloc(spec->rollbacks + 1, sizeof(*b.rollbacks)));
	fill_header(&b);
	b.header.program_count = spec->programs;
	b.header.attach_count = b.header.kernel_prog_count = 2 * spec->programs;
	b.header.rollback_count = spec->rollbacks;
	fill_reasons(&b);
	fill_workers(&b);
	for (i = 0; i < spec->programs; i++)
		fill_program(&b, i);
	for (i = 0; i < spec->rollbacks; i++)
		fill_rollback(&b, i);
	assemble(&b, bytes, len);
	free(b.programs);
	free(b.attaches);
	free(b.kernel_progs);
	free(b.rollbacks);
	free(b.data);
}
