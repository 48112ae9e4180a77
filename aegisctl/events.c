/* SPDX-License-Identifier: ISC */
#include "aegisctl/events.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "aegisctl/client.h"
#include "aegisctl/table.h"
#include "common/clock.h"
#include "common/event.h"
#include "common/render.h"

struct stream {
	const struct events_options *o;
	struct event_base *base;
	struct event *patience; /* until agentd has answered at all */
	char host_id[AEGIS_ID_SIZE];
	char agent_version[32];
	bool answered;
	bool ended;
	int result;
	char *text;
	size_t size;
};

static void
end(struct stream *s, int result, const char *text)
{
	if (s->ended)
		return;
	s->ended = true;
	s->result = result;
	str_copy_cut(s->text, s->size, text);
	str_scrub(s->text, s->size);
	(void)event_base_loopbreak(s->base);
}

static void
describe_rollback(const struct msg_event *m, char *out, size_t size)
{
	const char *reason =
	    rollback_reason_name((enum rollback_reason)m->rollback_reason);
	const char *stage = m->type == EVENT_ROLLBACK_STATUS
	    ? rollback_status_name((enum rollback_status)m->rollback_status)
	    : "";
	const char *comma = stage[0] != '\0' ? ", " : "";

	if (m->threshold != THRESHOLD_NONE)
		(void)snprintf(out, size, "%s%s%s: %s, %.10g > %.10g", stage,
		    comma, reason, threshold_name((enum threshold)m->threshold),
		    m->value, m->limit);
	else
		(void)snprintf(out, size, "%s%s%s%s%s", stage, comma, reason,
		    m->reason[0] != '\0' ? ": " : "", m->reason);
}

/* What this kind of event is about, in words. */
static void
describe(const struct msg_event *m, char *out, size_t size)
{
	const struct telemetry *t = &m->telemetry;
	char up[CLOCK_DURATION_SIZE];

	switch ((enum event_type)m->type) {
	case EVENT_PROGRAM_TELEMETRY:
		(void)snprintf(out, size,
		    "%.2f %% CPU, %" PRIu64 " KB, %" PRIu64 " packets, %" PRIu64
		    " violations, %" PRIu64 " errors",
		    t->cpu_percent, t->memory_kb, t->packets_processed,
		    t->violations, t->errors);
		break;
	case EVENT_PROGRAM_UNLOADED:
		(void)snprintf(out, size, "%s%s%s",
		    unload_reason_name((enum unload_reason)m->unload_reason),
		    m->reason[0] != '\0' ? ": " : "", m->reason);
		break;
	case EVENT_PROGRAM_ROLLED_BACK:
	case EVENT_ROLLBACK_STATUS:
		describe_rollback(m, out, size);
		break;
	case EVENT_AGENT_HEARTBEAT:
		clock_format_duration(m->uptime_sec, up);
		(void)snprintf(out, size, "%s, %u programs loaded, up %s",
		    render_health_name(m->health), m->loaded_programs, up);
		break;
	default:
		str_copy_cut(
		    out, size, status_stage((enum program_status)m->status));
		break;
	}
}

static void
print_line(const struct msg_event *m, const char *verifier_log, size_t log_len)
{
	time_t sec = (time_t)(m->wall_ns / NSEC_PER_SEC);
	char line[2 * AEGIS_ERROR_SIZE], what[1024], when[32] = "?";
	struct tm tm;

	if (localtime_r(&sec, &tm) != NULL)
		(void)strftime(when, sizeof(when), "%F %T", &tm);
	describe(m, what, sizeof(what));
	(void)snprintf(line, sizeof(line), "%s %-19s %s%s%s%s%s%s%s%s%s", when,
	    event_type_name((enum event_type)m->type), m->artifact_id,
	    m->artifact_id[0] != '\0' ? " " : "", m->name,
	    m->name[0] != '\0' ? " " : "", m->version,
	    m->version[0] != '\0' ? ": " : "", what,
	    m->error[0] != '\0' ? ": " : "", m->error);
	str_scrub(line, sizeof(line));
	(void)printf("%s\n", line);
	if (verifier_log != NULL)
		table_text(stdout, "    ", verifier_log, log_len);
}

static void
print_json(const struct stream *s, const struct msg_event *m,
    const char *verifier_log, size_t log_len)
{
	const struct event_context ctx = {
		.host_id = s->host_id,
		.agent_version = s->agent_version,
		.unnumbered = true,
	};
	_cleanup_jsonbuf_ struct jsonbuf out = { 0 };

	event_format(&out, m, 0, &ctx, verifier_log, log_len);
	jsonbuf_lit(&out, "\n");
	if (!out.failed)
		(void)fwrite(out.data, 1, out.len, stdout);
}

static int
handle_event(struct imsg *m, void *ctx)
{
	const struct msg_event *event = msg_get_EVENT(m);
	_cleanup_memfd_map_ struct memfd_map map = { NULL, 0 };
	struct stream *s = ctx;
	int r;

	if (!s->answered || event_check(event) < 0)
		return -EINVAL;
	if (m->fd >= 0) {
		r = memfd_map(m->fd, AEGIS_VERIFIER_LOG, &map);
		if (r < 0)
			return r;
	}
	if (s->o->json)
		print_json(s, event, map.data, map.len);
	else
		print_line(event, map.data, map.len);
	if (fflush(stdout) != 0)
		end(s, -EIO, "standard output: cannot write");
	return 0;
}

static int
handle_reply(struct imsg *m, void *ctx)
{
	const struct msg_ctl_reply *got = msg_get_CTL_REPLY(m);
	struct client_reply reply = { 0 };
	struct stream *s = ctx;
	int r;

	if (s->answered || !str_is_terminated(got->text, sizeof(got->text)) ||
	    got->result > 0)
		return -EINVAL;
	s->answered = true;
	(void)event_del(s->patience);
	if (got->result < 0 || m->fd < 0) {
		end(s, got->result < 0 ? got->result : -EPROTO, got->text);
		return 0;
	}
	r = client_read_snapshot(&reply, m->fd);
	if (r < 0) {
		end(s, r, reply.text);
	} else {
		str_copy_cut(s->host_id, sizeof(s->host_id),
		    reply.snapshot.header->host_id);
		str_copy_cut(s->agent_version, sizeof(s->agent_version),
		    reply.snapshot.header->agent_version);
	}
	client_reply_clear(&reply);
	return 0;
}

static int
handle_end(struct imsg *m, void *ctx)
{
	const struct msg_events_end *got = msg_get_EVENTS_END(m);

	if (got->result > 0 || !str_is_terminated(got->text, sizeof(got->text)))
		return -EINVAL;
	end(ctx, got->result, got->text);
	return 0;
}

static void
handle_closed(int reason, const char *text, void *ctx)
{
	struct stream *s = ctx;

	end(s, reason != 0 ? reason : -ECONNRESET,
	    reason == -EINVAL || reason == -EPROTO
		? text
		: "agentd closed the connection: it stopped, or this reader "
		  "was too slow; its log says which");
}

static void
handle_patience(evutil_socket_t fd, short what, void *arg)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "agentd did not answer within %d s",
	    CLIENT_TIMEOUT_SEC);
	end(arg, -ETIMEDOUT, text);
}

static int
follow(struct stream *s, int fd)
{
	static const struct timeval patience = { .tv_sec = CLIENT_TIMEOUT_SEC };
	static const imsg_handler handlers[MSG_TYPE_MAX] = {
		[MSG_CTL_REPLY] = handle_reply,
		[MSG_EVENT] = handle_event,
		[MSG_EVENTS_END] = handle_end,
	};
	const struct msg_ctl_request request = {
		.command = CTL_EVENTS,
		.follow = s->o->follow,
		.last = s->o->last,
	};
	struct imsg_channel *agentd = NULL;
	int r;

	r = imsg_open(&agentd, s->base, fd, PROC_CTL, PROC_AGENTD, handlers,
	    handle_closed, s);
	if (r == 0 && event_add(s->patience, &patience) == -1)
		r = -ENOMEM;
	if (r == 0)
		r = msg_send_CTL_REQUEST(agentd, 1, &request);
	if (r == 0 || r == -EPIPE)
		(void)event_base_dispatch(s->base);
	else
		end(s, r, strerror(-r));
	imsg_free(agentd);
	return s->result;
}

int
events_run(const struct events_options *o, char *text, size_t size)
{
	struct stream s = { .o = o, .text = text, .size = size };
	struct client_reply reply = { 0 };
	int fd, r;

	text[0] = '\0';
	fd = client_connect(o->socket, &reply);
	if (fd < 0) {
		str_copy_cut(text, size, reply.text);
		return fd;
	}
	s.base = event_base_new();
	s.patience = s.base == NULL
	    ? NULL
	    : event_new(s.base, -1, 0, handle_patience, &s);
	if (s.patience == NULL) {
		fd_close(&fd);
		return -ENOMEM;
	}
	r = follow(&s, fd);
	event_free(s.patience);
	event_base_free(s.base);
	return r;
}
