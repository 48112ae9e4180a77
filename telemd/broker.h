/* SPDX-License-Identifier: ISC */
/*
 * The connection to NATS: how it is made from the configuration and the
 * secrets, and what may be asked of it.  nats.c runs its own threads; it
 * reconnects for ever.  All functions but broker_configure() and
 * broker_set_secret() are the publisher thread's.
 */
#ifndef TELEMD_BROKER_H
#define TELEMD_BROKER_H

#include <nats/nats.h>

#include "common/msg.h"
#include "telemd/pipeline.h"

struct broker {
	struct pipeline *pipeline;
	char *url_text; /* the configured list, cut at its commas */
	const char *urls[AEGIS_NATS_URLS];
	int url_count;
	char host_id[AEGIS_ID_SIZE];
	char stream[AEGIS_ID_SIZE];
	char *secrets[SECRET_MAX]; /* terminated text, NULL where none */

	natsConnection *nc;
	natsSubscription *subs[2];
	natsStatistics *stats;
	jsCtx *js;
	bool stream_found;
	int js_failures;      /* acks that were refusals; atomic */
	uint64_t generation;  /* of the connection object */
	char last_error[256]; /* logged already */
};

/* Take over TELEM_CONFIG; URLs is the list, with secrets or without. */
int broker_configure(struct broker *b, struct pipeline *p,
    const struct msg_telem_config *config) _must_check_;
int broker_set_urls(
    struct broker *b, const char *urls, size_t len) _must_check_;

/* Keep LEN bytes as text: they must hold no NUL.  Copies. */
int broker_set_secret(struct broker *b, enum secret_kind kind, const void *data,
    size_t len) _must_check_;

/* "host:port" of URL number I without its secrets, for people: BUF. */
const char *broker_display_url(
    const struct broker *b, int i, char *buf, size_t size);

/* TCP port of URL number I. */
uint16_t broker_port(const struct broker *b, int i);

/* Make the connection object if there is none; it connects by itself. */
int broker_open(struct broker *b) _must_check_;
void broker_close(struct broker *b);

/* True when something published now would go out. */
bool broker_is_connected(struct broker *b);

/*
 * A number that changes whenever something published before may be lost:
 * with every reconnect.  Read before publishing and after flushing.
 */
uint64_t broker_epoch(struct broker *b);

/* Queue one event; -errno when it cannot be. */
int broker_publish(
    struct broker *b, const struct record *r, const char *subject) _must_check_;

/*
 * Wait until the broker has all that was published: -EAGAIN when it has not
 * yet after MS milliseconds (ask again), -EIO when it will not.
 */
int broker_flush(struct broker *b, unsigned int ms) _must_check_;

/* Something went wrong: forget what was published but not confirmed. */
void broker_reset(struct broker *b);

/* A message that is no event; lost if the broker is away. */
void broker_answer(
    struct broker *b, const char *subject, const char *data, size_t len);

#endif
