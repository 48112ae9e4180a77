/* SPDX-License-Identifier: ISC */
/*
 * What the three threads of telemd share.
 *
 *	main (libevent) -- batches --> store -- batches, spool --> publisher
 *	     ^------------ accepted, delivered, notes --------------'
 *
 * The main thread talks to agentd, reads rings, formats, and numbers events;
 * it never waits for a disk or a broker.  The store thread writes the spool
 * and syncs it.  The publisher talks to the broker and may wait for it as
 * long as it takes.  While the broker keeps up, violations need no spool:
 * they go from main to the publisher at once, as each thread that is woken
 * on the way costs as much as the formatting of fifty events.
 *
 * Every event has a sequence number, given in the order in which it was
 * taken on, and everything is delivered in the order of these numbers.  So
 * what the broker has is one number: all up to p->confirmed.
 */
#ifndef TELEMD_PIPELINE_H
#define TELEMD_PIPELINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/log.h"
#include "telemd/batch.h"

/* Bytes of events in memory: more is spooled, or left in its ring. */
#define PIPELINE_MEMORY_MAX   (16u << 20)
#define PIPELINE_MEMORY_EASY  (2u << 20) /* while rings have room */
#define PIPELINE_VOLATILE_MAX (1u << 20)
#define PIPELINE_GATHER_MAX   (512u << 10) /* before the publisher is woken */

/* The broker is behind when the oldest event has waited so long. */
#define PIPELINE_BEHIND_NS INT64_C(1000000000)

#define PIPELINE_SIGNALS_MAX 64
#define PIPELINE_SIGNAL_LEN  4096
#define PIPELINE_SUBJECT_LEN 256

/* A line for the log, from a thread that may not log. */
struct note {
	STAILQ_ENTRY(note) entry;
	enum log_level level;
	char text[256];
	char error[256];
};

/* A message on one of the subjects that telemd listens to. */
struct signal_message {
	STAILQ_ENTRY(signal_message) entry;
	size_t len;
	char reply[PIPELINE_SUBJECT_LEN]; /* "" where none */
	char subject[PIPELINE_SUBJECT_LEN];
	char time[64]; /* headers, see sigcheck.h; "" where none */
	char signature[128];
	char data[PIPELINE_SIGNAL_LEN + 1];
};

/* An answer to such a message. */
struct reply {
	STAILQ_ENTRY(reply) entry;
	char subject[PIPELINE_SUBJECT_LEN];
	struct jsonbuf json;
};

struct ring_done {
	uint64_t ring;
	uint64_t position;
};

STAILQ_HEAD(note_list, note);
STAILQ_HEAD(signal_list, signal_message);
STAILQ_HEAD(reply_list, reply);

struct pipeline {
	pthread_mutex_t mu;
	pthread_cond_t store_wake;   /* of CLOCK_MONOTONIC */
	pthread_cond_t publish_wake; /* the same */
	int main_wake;               /* an eventfd; write to it outside mu */
	bool stop;

	struct batch_list in; /* for the store thread */
	size_t in_bytes;
	bool placing; /* the store thread has some that have no place yet */
	/* There may be violations in the spool, which go first.  The store
	 * thread alone puts them there, and alone says that there are none. */
	bool violations_spooled;
	struct batch_list memory; /* for the publisher, by number */
	size_t memory_bytes;
	size_t volatile_bytes;
	uint64_t placed; /* all up to this one is in memory, spool, or lost */
	bool publisher_comes; /* to look again within milliseconds, unasked */
	size_t gathered;      /* bytes that wait for that */
	uint64_t confirmed;   /* the broker has all up to this one */

	bool spool_full;
	bool connected;
	bool ever_connected;
	uint64_t reconnects;
	char error[256]; /* why not connected */

	uint64_t seen;       /* agentd's number of the last event taken on */
	uint64_t accepted;   /* the last one that is safe, with all before it */
	unsigned int unsafe; /* durable batches that are in memory alone */
	struct ring_done *done;
	size_t done_count;
	size_t done_cap;
	struct note_list notes;
	struct signal_list signals;
	unsigned int signal_count;
	struct reply_list replies;
	uint64_t sent[EVENT_TYPE_MAX];
	uint64_t dropped[EVENT_TYPE_MAX];
	uint64_t bad_signals;
};

int pipeline_init(struct pipeline *p) _must_check_;

/* ---- main ---- */

/* Hand a batch on; takes it. */
void pipeline_submit(struct pipeline *p, struct batch *b);

/*
 * True while a ring may be read, else its events wait where they are, which
 * takes a third of the memory and none that is new to this process.  FULL: it
 * cannot keep them for long.
 */
bool pipeline_has_room(struct pipeline *p, bool full);

/* Send JSON to SUBJECT, before all events; takes the content of JSON. */
void pipeline_reply(
    struct pipeline *p, const char *subject, struct jsonbuf *json);

/* ---- any thread; p->mu must be held where the name ends in _locked ---- */

void pipeline_wake_main(struct pipeline *p);
void pipeline_note(struct pipeline *p, enum log_level level, const char *error,
    const char *fmt, ...) _printf_(4, 5);

/* Let go of a batch whose refs were counted up under the lock. */
void pipeline_release_locked(struct pipeline *p, struct batch *b);

/* Into p->memory, and out of it again; the batch stays the caller's. */
void pipeline_remember_locked(struct pipeline *p, struct batch *b);
void pipeline_forget_locked(struct pipeline *p, struct batch *b);

/* B, which is in no list, is lost: count its events; takes it. */
void pipeline_drop_locked(struct pipeline *p, struct batch *b);

/* B is safe now, on disk or with the broker: its ring may go on. */
void pipeline_safe_locked(struct pipeline *p, struct batch *b);

/* The broker does not keep up, or is away. */
bool pipeline_is_behind_locked(const struct pipeline *p);

/* Work out p->accepted anew.  True: there is something to tell agentd. */
bool pipeline_accept_locked(struct pipeline *p);

/* All up to SEQ is with the broker. */
void pipeline_confirm(struct pipeline *p, uint64_t seq);

/* Wait on COND for at most MS milliseconds; p->mu is held. */
void pipeline_wait_locked(
    struct pipeline *p, pthread_cond_t *cond, unsigned int ms);

#endif
