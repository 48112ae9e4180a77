/* SPDX-License-Identifier: ISC */
#include "telemd/broker.h"

#include "common/clock.h"
#include "telemd/creds.h"
#include "telemd/retry.h"
#include "telemd/sigcheck.h"
#include "telemd/signal.h"

#define CONNECT_TIMEOUT_MS 5000
#define RECONNECT_WAIT_MS  500
#define PING_INTERVAL_MS   15000
#define PINGS_OUT          3

/* A write that the broker does not take for so long ends the connection. */
#define WRITE_DEADLINE_MS 10000

/* What nats.c writes at once: a batch in a few calls. */
#define IO_BUFFER (256 << 10)

/* What nats.c may hold back for us while it reconnects: we hold it better. */
#define RECONNECT_BUFFER 1

/* ---- called by nats.c, in its threads ---- */

static void
set_connected(struct broker *b, bool connected, const char *error)
{
	struct pipeline *p = b->pipeline;

	(void)pthread_mutex_lock(&p->mu);
	if (connected && p->ever_connected)
		p->reconnects++;
	p->connected = connected;
	p->ever_connected |= connected;
	str_copy_cut(p->error, sizeof(p->error), connected ? "" : error);
	(void)pthread_cond_signal(&p->publish_wake);
	(void)pthread_cond_signal(&p->store_wake);
	(void)pthread_mutex_unlock(&p->mu);
	pipeline_wake_main(p);
}

static void
handle_connected(natsConnection *nc, void *closure)
{
	struct broker *b = closure;
	char url[256];

	set_connected(b, true, NULL);
	if (natsConnection_GetConnectedUrl(nc, url, sizeof(url)) != NATS_OK)
		url[0] = '\0';
	/* The URL may hold a password: only what follows it is shown. */
	pipeline_note(b->pipeline, LOG_LEVEL_INFO, NULL,
	    "connected to NATS at %s",
	    strrchr(url, '@') != NULL ? strrchr(url, '@') + 1 : url);
}

static void
handle_disconnected(natsConnection *nc, void *closure)
{
	struct broker *b = closure;
	const char *text = NULL;
	bool was;

	(void)natsConnection_GetLastError(nc, &text);
	(void)pthread_mutex_lock(&b->pipeline->mu);
	was = b->pipeline->connected;
	(void)pthread_mutex_unlock(&b->pipeline->mu);
	set_connected(
	    b, false, text != NULL && *text != '\0' ? text : "connection lost");
	if (was)
		pipeline_note(b->pipeline, LOG_LEVEL_WARN, text,
		    "NATS is gone: events are kept, connecting again");
}

static void
handle_error(
    natsConnection *nc, natsSubscription *sub, natsStatus status, void *closure)
{
	struct broker *b = closure;
	const char *text = NULL;

	(void)natsConnection_GetLastError(nc, &text);
	if (status == NATS_SLOW_CONSUMER)
		return; /* a flood of signals; counted where they are read */
	pipeline_note(b->pipeline, LOG_LEVEL_WARN,
	    text != NULL && *text != '\0' ? text : natsStatus_GetText(status),
	    "NATS reports an error");
}

/* All servers were tried: how long until they are tried again. */
static int64_t
reconnect_delay_ms(natsConnection *nc, int attempts, void *closure)
{
	return retry_wait_ms(RECONNECT_WAIT_MS, (uint64_t)clock_boot_ns());
}

/* A header that is missing or too long for one is "". */
static void
copy_header(char *out, size_t size, natsMsg *msg, const char *name)
{
	const char *value = NULL;

	if (natsMsgHeader_Get(msg, name, &value) != NATS_OK || value == NULL ||
	    str_copy(out, size, value) < 0)
		out[0] = '\0';
}

static void
handle_signal(
    natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *closure)
{
	struct broker *b = closure;
	struct pipeline *p = b->pipeline;
	const char *reply = natsMsg_GetReply(msg);
	int len = natsMsg_GetDataLength(msg);
	struct signal_message *s = NULL;

	if (len >= 0 && len <= PIPELINE_SIGNAL_LEN)
		s = calloc(1, sizeof(*s));
	if (s != NULL) {
		s->len = (size_t)len;
		if (len > 0)
			memcpy(s->data, natsMsg_GetData(msg), s->len);
		copy_header(
		    s->time, sizeof(s->time), msg, SIGCHECK_TIME_HEADER);
		copy_header(s->signature, sizeof(s->signature), msg,
		    SIGCHECK_SIGNATURE_HEADER);
		str_copy_cut(
		    s->subject, sizeof(s->subject), natsMsg_GetSubject(msg));
		if (reply != NULL &&
		    str_copy(s->reply, sizeof(s->reply), reply) < 0)
			s->reply[0] = '\0';
	}
	(void)pthread_mutex_lock(&p->mu);
	if (s == NULL || p->signal_count >= PIPELINE_SIGNALS_MAX) {
		p->bad_signals++;
		free(s);
		s = NULL;
	} else {
		STAILQ_INSERT_TAIL(&p->signals, s, entry);
		p->signal_count++;
	}
	(void)pthread_mutex_unlock(&p->mu);
	/* Who asked waits for an answer all the same; this is the thread of
	 * the signals alone, so a stalled broker holds nothing else up. */
	if (s == NULL && reply != NULL &&
	    natsConnection_PublishString(nc, reply,
		"{\"status\":\"rejected\",\"error\":\"the signal is too "
		"long, or too many wait\"}") != NATS_OK)
		pipeline_note(p, LOG_LEVEL_DEBUG, NULL,
		    "the answer to a refused signal was not sent");
	natsMsg_Destroy(msg);
	if (s == NULL)
		pipeline_note(p, LOG_LEVEL_WARN, NULL,
		    "a rollback signal of %d bytes is refused: at most %d "
		    "bytes, and %d that wait",
		    len, PIPELINE_SIGNAL_LEN, PIPELINE_SIGNALS_MAX);
	pipeline_wake_main(p);
}

static void
handle_ack_error(jsCtx *js, jsPubAckErr *pae, void *closure)
{
	struct broker *b = closure;

	if (__atomic_fetch_add(&b->js_failures, 1, __ATOMIC_SEQ_CST) == 0)
		pipeline_note(b->pipeline, LOG_LEVEL_WARN,
		    pae->ErrText != NULL ? pae->ErrText
					 : natsStatus_GetText(pae->Err),
		    "JetStream does not take an event: trying again");
}

/* ---- making the connection ---- */

static natsStatus
set_security(struct broker *b, natsOptions *opts)
{
	natsStatus s = NATS_OK;
	bool tls =
	    b->secrets[SECRET_CA] != NULL || b->secrets[SECRET_CERT] != NULL;
	int i;

	for (i = 0; i < b->url_count; i++)
		tls |= strncmp(b->urls[i], "tls://", 6) == 0;
	if (tls)
		s = natsOptions_SetSecure(opts, true);
	if (s == NATS_OK && b->secrets[SECRET_CA] != NULL)
		s = natsOptions_SetCATrustedCertificates(
		    opts, b->secrets[SECRET_CA]);
	if (s == NATS_OK && b->secrets[SECRET_CERT] != NULL &&
	    b->secrets[SECRET_KEY] != NULL)
		s = natsOptions_SetCertificatesChain(
		    opts, b->secrets[SECRET_CERT], b->secrets[SECRET_KEY]);
	if (s == NATS_OK && b->secrets[SECRET_NATS_CREDS] != NULL)
		s = creds_apply(opts, b->secrets[SECRET_NATS_CREDS]);
	return s;
}

static natsStatus
make_options(struct broker *b, natsOptions **out)
{
	natsOptions *opts = NULL;
	char name[AEGIS_ID_SIZE + 16];
	natsStatus s;

	(void)snprintf(name, sizeof(name), "aegisflux-%s", b->host_id);
	s = natsOptions_Create(&opts);
#define SET(call)                                                              \
	do {                                                                   \
		if (s == NATS_OK)                                              \
			s = (call);                                            \
	} while (0)
	SET(natsOptions_SetServers(opts, b->urls, b->url_count));
	SET(natsOptions_SetName(opts, name));
	SET(natsOptions_SetTimeout(opts, CONNECT_TIMEOUT_MS));
	SET(natsOptions_SetMaxReconnect(opts, -1));
	SET(natsOptions_SetCustomReconnectDelay(opts, reconnect_delay_ms, b));
	SET(natsOptions_SetReconnectBufSize(opts, RECONNECT_BUFFER));
	SET(natsOptions_SetIOBufSize(opts, IO_BUFFER));
	SET(natsOptions_SetPingInterval(opts, PING_INTERVAL_MS));
	SET(natsOptions_SetMaxPingsOut(opts, PINGS_OUT));
	SET(natsOptions_SetWriteDeadline(opts, WRITE_DEADLINE_MS));
	SET(natsOptions_SetReconnectedCB(opts, handle_connected, b));
	SET(natsOptions_SetDisconnectedCB(opts, handle_disconnected, b));
	SET(natsOptions_SetClosedCB(opts, handle_disconnected, b));
	SET(natsOptions_SetErrorHandler(opts, handle_error, b));
	SET(set_security(b, opts));
#undef SET
	if (s != NATS_OK) {
		natsOptions_Destroy(opts);
		return s;
	}
	*out = opts;
	return NATS_OK;
}

static natsStatus
subscribe(struct broker *b)
{
	char subject[AEGIS_ID_SIZE + 32];
	natsStatus s;

	(void)snprintf(
	    subject, sizeof(subject), SIGNAL_TO_HOST "%s", b->host_id);
	s = natsConnection_Subscribe(
	    &b->subs[0], b->nc, subject, handle_signal, b);
	if (s == NATS_OK)
		s = natsConnection_Subscribe(
		    &b->subs[1], b->nc, SIGNAL_TO_ALL, handle_signal, b);
	return s;
}

/* nats.c's last words without its "(conn.c:2201): ". */
static const char *
error_text(natsStatus s)
{
	const char *text = nats_GetLastError(NULL), *end;

	if (text != NULL && text[0] == '(' &&
	    (end = strstr(text, "): ")) != NULL)
		text = end + 3;
	return text != NULL && *text != '\0' ? text : natsStatus_GetText(s);
}

/* Say what is wrong once, not with every attempt. */
static void
note_failure(struct broker *b, natsStatus s, const char *what)
{
	const char *text = error_text(s);

	set_connected(b, false, text);
	if (strcmp(b->last_error, text) == 0)
		return;
	str_copy_cut(b->last_error, sizeof(b->last_error), text);
	pipeline_note(b->pipeline, LOG_LEVEL_WARN, text, "%s", what);
}

static void
note_no_connection(struct broker *b, natsStatus s)
{
	char what[200], url[128];

	(void)snprintf(what, sizeof(what),
	    "cannot connect to NATS at %s%s: trying again, events are kept",
	    broker_display_url(b, 0, url, sizeof(url)),
	    b->url_count > 1 ? " and the others" : "");
	note_failure(b, s, what);
}

int
broker_open(struct broker *b)
{
	natsOptions *opts = NULL;
	natsStatus s;

	if (b->nc != NULL && !natsConnection_IsClosed(b->nc))
		return 0;
	broker_close(b);
	s = make_options(b, &opts);
	if (s != NATS_OK) {
		note_failure(b, s, "cannot use the NATS configuration");
		return -EINVAL;
	}
	/*
	 * nats.c could retry the first connection by itself, but then it
	 * does not tell why it fails.
	 */
	s = natsStatistics_Create(&b->stats);
	if (s == NATS_OK)
		s = natsConnection_Connect(&b->nc, opts);
	natsOptions_Destroy(opts);
	if (s != NATS_OK) {
		note_no_connection(b, s);
		return -ENOTCONN;
	}
	b->generation++;
	s = subscribe(b);
	/* Who is told that we are connected may send a signal at once. */
	if (s == NATS_OK)
		s = natsConnection_FlushTimeout(b->nc, CONNECT_TIMEOUT_MS);
	if (s != NATS_OK) {
		note_failure(b, s, "cannot subscribe to rollback signals");
		broker_close(b);
		return -EIO;
	}
	b->last_error[0] = '\0';
	handle_connected(b->nc, b);
	return 0;
}

void
broker_close(struct broker *b)
{
	broker_reset(b);
	natsSubscription_Destroy(b->subs[0]);
	natsSubscription_Destroy(b->subs[1]);
	b->subs[0] = b->subs[1] = NULL;
	natsConnection_Destroy(b->nc);
	b->nc = NULL;
	natsStatistics_Destroy(b->stats);
	b->stats = NULL;
}

/* The stream is looked up, never made: it is the operator's. */
static bool
find_stream(struct broker *b)
{
	jsStreamInfo *info = NULL;
	jsErrCode code = 0;
	jsOptions options;
	natsStatus s;

	if (b->stream_found)
		return true;
	(void)jsOptions_Init(&options);
	options.PublishAsync.ErrHandler = handle_ack_error;
	options.PublishAsync.ErrHandlerClosure = b;
	s = b->js != NULL ? NATS_OK
			  : natsConnection_JetStream(&b->js, b->nc, &options);
	if (s == NATS_OK)
		s = js_GetStreamInfo(&info, b->js, b->stream, NULL, &code);
	if (s != NATS_OK) {
		note_failure(b, s,
		    "AGENT_NATS_STREAM is not there or may not be looked up");
		return false;
	}
	jsStreamInfo_Destroy(info);
	b->stream_found = true;
	b->last_error[0] = '\0';
	set_connected(b, true, NULL);
	return true;
}

bool
broker_is_connected(struct broker *b)
{
	if (b->nc == NULL ||
	    natsConnection_Status(b->nc) != NATS_CONN_STATUS_CONNECTED)
		return false;
	return b->stream[0] == '\0' || find_stream(b);
}

uint64_t
broker_epoch(struct broker *b)
{
	uint64_t reconnects = 0;

	if (b->nc == NULL ||
	    natsConnection_GetStats(b->nc, b->stats) != NATS_OK ||
	    natsStatistics_GetCounts(
		b->stats, NULL, NULL, NULL, NULL, &reconnects) != NATS_OK)
		return 0;
	return b->generation << 32 | (reconnects + 1);
}

int
broker_publish(struct broker *b, const struct record *r, const char *subject)
{
	struct jsonbuf id = { 0 };
	jsPubOptions options;
	natsStatus s;

	if (b->js == NULL)
		return natsConnection_Publish(
			   b->nc, subject, r->json, (int)r->len) == NATS_OK
		    ? 0
		    : -EIO;
	(void)jsPubOptions_Init(&options);
	jsonbuf_uuid(&id, r->event_id);
	if (id.failed)
		return -ENOMEM;
	id.data[id.len - 1] = '\0'; /* the closing quote */
	options.MsgId = id.data + 1;
	options.ExpectStream = b->stream;
	s = js_PublishAsync(b->js, subject, r->json, (int)r->len, &options);
	jsonbuf_free(&id);
	return s == NATS_OK ? 0 : -EIO;
}

int
broker_flush(struct broker *b, unsigned int ms)
{
	jsPubOptions options;
	natsStatus s;

	if (b->js == NULL) {
		s = natsConnection_FlushTimeout(b->nc, ms);
	} else {
		(void)jsPubOptions_Init(&options);
		options.MaxWait = ms;
		s = js_PublishAsyncComplete(b->js, &options);
	}
	if (s == NATS_TIMEOUT)
		return -EAGAIN;
	if (s != NATS_OK)
		return -EIO;
	if (__atomic_exchange_n(&b->js_failures, 0, __ATOMIC_SEQ_CST) != 0)
		return -EIO;
	return 0;
}

void
broker_reset(struct broker *b)
{
	/* With the context go its publications that wait for an ack. */
	jsCtx_Destroy(b->js);
	b->js = NULL;
	b->stream_found = false;
	__atomic_store_n(&b->js_failures, 0, __ATOMIC_SEQ_CST);
}

void
broker_answer(
    struct broker *b, const char *subject, const char *data, size_t len)
{
	if (natsConnection_Publish(b->nc, subject, data, (int)len) != NATS_OK)
		pipeline_note(b->pipeline, LOG_LEVEL_WARN,
		    nats_GetLastError(NULL),
		    "the answer to a rollback signal could not be sent");
}
