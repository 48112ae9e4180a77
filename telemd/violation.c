/* SPDX-License-Identifier: ISC */
#include "telemd/violation.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "bpf-progs/include/aegis/event.h"
#include "common/clock.h"

/* What one event can take at most: every byte of path and comm escaped. */
#define APPEND_MAX 2048

/* "2006-01-02T15:04:05.000000Z" with its quotes. */
#define TIME_LEN 29

_Static_assert(offsetof(struct aegis_event, comm) == 96 &&
	sizeof(struct aegis_event) == 248,
    "the layout of struct aegis_event is an ABI");

int
violation_prepare(struct violation_format *f, const char *artifact_id,
    const char *name, const char *version, const char *host_id,
    const char *agent_version, const struct telemetry *t)
{
	struct jsonbuf *d = &f->data_head, *m = &f->metadata_head;

	d->len = m->len = 0;
	jsonbuf_lit(d, ",\"data\":{");
	event_format_telemetry(
	    d, artifact_id, host_id, status_name(STATUS_RUNNING), t);
	jsonbuf_lit(d, ",\"timestamp\":");
	jsonbuf_lit(m, "}},\"metadata\":{\"host_id\":");
	jsonbuf_string(m, host_id, strlen(host_id));
	jsonbuf_lit(m, ",\"agent_version\":");
	jsonbuf_string(m, agent_version, strlen(agent_version));
	jsonbuf_lit(m, ",\"name\":");
	jsonbuf_string(m, name, strlen(name));
	jsonbuf_lit(m, ",\"version\":");
	jsonbuf_string(m, version, strlen(version));
	jsonbuf_lit(m, ",\"event_id\":");
	if (d->failed || m->failed)
		return -ENOMEM;
	f->second = INT64_MIN;
	return 0;
}

void
violation_format_free(struct violation_format *f)
{
	jsonbuf_free(&f->data_head);
	jsonbuf_free(&f->metadata_head);
}

int
violation_check(const void *event, uint32_t len, uint64_t *time_ns)
{
	const struct aegis_event *e = event;

	if (len < VIOLATION_MIN_LEN || e->version == 0)
		return -EBADMSG;
	*time_ns = e->time_ns;
	return 0;
}

uint64_t
violation_lost(const void *event, uint32_t len)
{
	const struct aegis_event *e = event;

	return e->version >= 2 && len >= sizeof(*e) ? e->lost : 0;
}

static void
put_u64(struct jsonbuf *out, const char *key, size_t key_len, uint64_t v)
{
	jsonbuf_raw(out, key, key_len);
	jsonbuf_u64(out, v);
}

#define PUT_U64(out, key, v)                                                   \
	put_u64(out, ",\"" key "\":", sizeof(",\"" key "\":") - 1, v)

/* Quoted RFC 3339 with microseconds; the second's text is kept. */
static void
format_time(struct violation_format *f, int64_t wall_ns, char out[TIME_LEN])
{
	char text[CLOCK_RFC3339_SIZE];
	int64_t second = wall_ns / NSEC_PER_SEC;
	uint32_t us = (uint32_t)(wall_ns % NSEC_PER_SEC / 1000);
	int i;

	if (second != f->second) {
		clock_format_rfc3339(second * NSEC_PER_SEC, text);
		memcpy(f->prefix, text, 19);
		f->second = second;
	}
	out[0] = '"';
	memcpy(out + 1, f->prefix, 19);
	out[20] = '.';
	for (i = 26; i > 20; i--) {
		out[i] = (char)('0' + us % 10);
		us /= 10;
	}
	memcpy(out + 27, "Z\"", 2);
}

static void
put_ipv4(struct jsonbuf *out, const uint8_t *a)
{
	jsonbuf_lit(out, "\"");
	jsonbuf_u64(out, a[0]);
	jsonbuf_lit(out, ".");
	jsonbuf_u64(out, a[1]);
	jsonbuf_lit(out, ".");
	jsonbuf_u64(out, a[2]);
	jsonbuf_lit(out, ".");
	jsonbuf_u64(out, a[3]);
	jsonbuf_lit(out, "\"");
}

static void
put_hex16(struct jsonbuf *out, unsigned int v)
{
	static const char hex[] = "0123456789abcdef";
	char text[4] = { hex[v >> 12], hex[v >> 8 & 15], hex[v >> 4 & 15],
		hex[v & 15] };
	size_t skip = v > 0xfff ? 0 : v > 0xff ? 1 : v > 0xf ? 2 : 3;

	jsonbuf_raw(out, text + skip, 4 - skip);
}

/* RFC 5952: the longest run of two or more zero groups becomes "::". */
static void
put_ipv6(struct jsonbuf *out, const uint8_t *a)
{
	unsigned int groups[8];
	int i, run, best = -1, best_len = 1;

	for (i = 0; i < 8; i++)
		groups[i] = (unsigned int)a[2 * i] << 8 | a[2 * i + 1];
	for (i = 0; i < 8; i += run + 1) {
		for (run = 0; i + run < 8 && groups[i + run] == 0; run++)
			continue;
		if (run > best_len) {
			best = i;
			best_len = run;
		}
	}
	jsonbuf_lit(out, "\"");
	for (i = 0; i < 8; i++) {
		if (i == best) {
			jsonbuf_lit(out, "::");
			i += best_len - 1;
			continue;
		}
		if (i > 0 && i != best + best_len)
			jsonbuf_lit(out, ":");
		put_hex16(out, groups[i]);
	}
	jsonbuf_lit(out, "\"");
}

static void
put_protocol(struct jsonbuf *out, uint8_t protocol)
{
	jsonbuf_lit(out, ",\"protocol\":");
	switch (protocol) {
	case IPPROTO_TCP:
		jsonbuf_lit(out, "\"tcp\"");
		break;
	case IPPROTO_UDP:
		jsonbuf_lit(out, "\"udp\"");
		break;
	case IPPROTO_ICMP:
		jsonbuf_lit(out, "\"icmp\"");
		break;
	case IPPROTO_ICMPV6:
		jsonbuf_lit(out, "\"icmpv6\"");
		break;
	case IPPROTO_SCTP:
		jsonbuf_lit(out, "\"sctp\"");
		break;
	default:
		jsonbuf_lit(out, "\"");
		jsonbuf_u64(out, protocol);
		jsonbuf_lit(out, "\"");
		break;
	}
}

static void
put_network(struct jsonbuf *out, const struct aegis_event *e)
{
	if (e->family == AF_INET) {
		jsonbuf_lit(out, ",\"family\":\"ipv4\",\"saddr\":");
		put_ipv4(out, e->saddr);
		jsonbuf_lit(out, ",\"daddr\":");
		put_ipv4(out, e->daddr);
	} else if (e->family == AF_INET6) {
		jsonbuf_lit(out, ",\"family\":\"ipv6\",\"saddr\":");
		put_ipv6(out, e->saddr);
		jsonbuf_lit(out, ",\"daddr\":");
		put_ipv6(out, e->daddr);
	}
	put_protocol(out, e->protocol);
	PUT_U64(out, "sport", e->sport);
	PUT_U64(out, "dport", e->dport);
}

static void
put_verdict(struct jsonbuf *out, uint16_t verdict)
{
	static const char *const names[] = {
		[AEGIS_VERDICT_NONE] = "none",
		[AEGIS_VERDICT_ALLOW] = "allow",
		[AEGIS_VERDICT_DENY] = "deny",
		[AEGIS_VERDICT_DROP] = "drop",
		[AEGIS_VERDICT_AUDIT] = "audit",
	};

	jsonbuf_lit(out, ",\"verdict\":\"");
	if (verdict < nitems(names))
		jsonbuf_text(out, names[verdict]);
	else
		jsonbuf_u64(out, verdict);
	jsonbuf_lit(out, "\"");
}

static const char *
kind_name(uint16_t kind)
{
	switch (kind) {
	case AEGIS_EVENT_NETWORK:
		return "network";
	case AEGIS_EVENT_EXEC:
		return "exec";
	case AEGIS_EVENT_FILE:
		return "file";
	default:
		return "other";
	}
}

static void
put_violation(
    struct jsonbuf *out, const struct aegis_event *e, const char *time)
{
	jsonbuf_lit(out, ",\"violation\":{\"kind\":\"");
	jsonbuf_text(out, kind_name(e->kind));
	jsonbuf_lit(out, "\"");
	put_verdict(out, e->verdict);
	jsonbuf_lit(out, ",\"time\":");
	jsonbuf_raw(out, time, TIME_LEN);
	PUT_U64(out, "pid", e->pid);
	PUT_U64(out, "tid", e->tid);
	PUT_U64(out, "uid", e->uid);
	PUT_U64(out, "gid", e->gid);
	PUT_U64(out, "cgroup_id", e->cgroup_id);
	jsonbuf_lit(out, ",\"comm\":");
	jsonbuf_array_string(out, e->comm, sizeof(e->comm));
	if (e->ifindex != 0)
		PUT_U64(out, "ifindex", e->ifindex);
	if (e->kind == AEGIS_EVENT_NETWORK || e->family != 0)
		put_network(out, e);
	if (e->path[0] != '\0') {
		jsonbuf_lit(out, ",\"path\":");
		jsonbuf_array_string(out, e->path, sizeof(e->path));
	}
	PUT_U64(out, "rule", e->rule);
	PUT_U64(out, "value", e->value);
}

void
violation_append(struct jsonbuf *out, struct violation_format *f,
    const void *event, uint32_t len, int64_t wall_ns, uint64_t seq,
    const uint8_t *event_id, const struct violation_gap *gap)
{
	const struct aegis_event *e = event;
	struct aegis_event copy = { 0 };
	char time[TIME_LEN];

	/* An older program's record is shorter: what it lacks is zero. */
	if (len < sizeof(copy)) {
		memcpy(&copy, event, len);
		e = &copy;
	}
	if (!jsonbuf_reserve(
		out, APPEND_MAX + f->data_head.len + f->metadata_head.len))
		return;
	jsonbuf_lit(out, "{\"type\":\"violation_report\",\"timestamp\":");
	format_time(f, wall_ns, time);
	jsonbuf_raw(out, time, TIME_LEN);
	jsonbuf_raw(out, f->data_head.data, f->data_head.len);
	jsonbuf_raw(out, time, TIME_LEN);
	put_violation(out, e, time);
	jsonbuf_raw(out, f->metadata_head.data, f->metadata_head.len);
	jsonbuf_uuid(out, event_id);
	PUT_U64(out, "seq", seq);
	if (gap->suppressed > 0)
		PUT_U64(out, "suppressed", gap->suppressed);
	if (gap->lost > 0)
		PUT_U64(out, "lost", gap->lost);
	jsonbuf_lit(out, "}}");
}
