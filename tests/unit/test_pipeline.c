/* SPDX-License-Identifier: ISC */
#include "telemd/pipeline.h"

#include <string.h>

#include "tests/unit/unit.h"

static struct pipeline p;
static uint64_t seq;

static void
begin(void)
{
	ck_assert_int_eq(pipeline_init(&p), 0);
	p.connected = true;
	p.violations_spooled = false;
	seq = 0;
}

/* Submit a batch of one; true: it went where the publisher looks. */
static bool
submit(enum event_class class, enum event_type type)
{
	static const uint8_t id[16];
	struct batch *b = batch_new(class);
	size_t start = batch_begin(b);

	jsonbuf_lit(&b->buf, "{}");
	ck_assert(batch_end(b, start, type, ++seq, id));
	b->ring = 1;
	b->ring_position = seq;
	pipeline_submit(&p, b);
	ck_assert(TAILQ_LAST(&p.memory, batch_list) == b ||
	    TAILQ_LAST(&p.in, batch_list) == b);
	return TAILQ_LAST(&p.memory, batch_list) == b;
}

static bool
submit_violation(void)
{
	return submit(EVENT_VIOLATION, EVENT_VIOLATION_REPORT);
}

static void
end(void)
{
	struct batch_list *lists[] = { &p.in, &p.memory };
	struct batch *b;
	size_t i;

	for (i = 0; i < nitems(lists); i++) {
		while ((b = TAILQ_FIRST(lists[i])) != NULL) {
			TAILQ_REMOVE(lists[i], b, entry);
			batch_free(b);
		}
	}
	free(p.done);
	fd_close(&p.main_wake);
}

START_TEST (test_violations_go_straight_to_the_publisher) {
	begin();
	ck_assert(submit_violation());
	ck_assert_uint_eq(p.placed, 1);
	ck_assert(submit_violation());
	ck_assert_uint_eq(p.placed, 2);
	/* and are safe, as far as their ring is concerned, with the broker */
	ck_assert_uint_eq(p.done_count, 0);
	pipeline_confirm(&p, 1);
	ck_assert_uint_eq(p.done_count, 1);
	ck_assert_uint_eq(p.done[0].position, 1);
	end();
}
END_TEST

START_TEST (test_what_needs_the_spool_goes_through_the_store) {
	begin();
	ck_assert(!submit(EVENT_DURABLE, EVENT_PROGRAM_LOADED));
	ck_assert_uint_eq(p.placed, 0);
	/* what comes later must not overtake it */
	ck_assert(!submit_violation());
	ck_assert_uint_eq(p.placed, 0);
	end();

	begin();
	p.placing = true;
	ck_assert(!submit_violation());
	end();

	begin();
	p.violations_spooled = true;
	ck_assert(!submit_violation());
	end();
}
END_TEST

START_TEST (test_a_broker_that_is_behind_gets_them_through_the_spool) {
	begin();
	p.connected = false;
	ck_assert(!submit_violation());
	end();

	begin();
	ck_assert(submit_violation());
	TAILQ_FIRST(&p.memory)->born_ns -= 2 * PIPELINE_BEHIND_NS;
	ck_assert(!submit_violation());
	end();

	begin();
	p.memory_bytes = PIPELINE_MEMORY_MAX / 2 + 1;
	ck_assert(!submit_violation());
	end();

	/* whatever an earlier telemd left goes first */
	begin();
	fd_close(&p.main_wake);
	ck_assert_int_eq(pipeline_init(&p), 0);
	p.connected = true;
	ck_assert(!submit_violation());
	end();
}
END_TEST

START_TEST (test_accepting_tells_whether_it_is_news) {
	begin();
	p.seen = 3;
	ck_assert(pipeline_accept_locked(&p));
	ck_assert_uint_eq(p.accepted, 3);
	ck_assert(!pipeline_accept_locked(&p));
	p.seen = 4;
	ck_assert(pipeline_accept_locked(&p));
	end();
}
END_TEST

/* A durable event is safe when it is on disk or with the broker. */
START_TEST (test_nothing_is_accepted_past_what_is_in_memory_alone) {
	struct batch *b;

	begin();
	(void)submit(EVENT_DURABLE, EVENT_PROGRAM_LOADED);
	(void)submit(EVENT_DURABLE, EVENT_PROGRAM_UNLOADED);
	while ((b = TAILQ_FIRST(&p.in)) != NULL) {
		TAILQ_REMOVE(&p.in, b, entry);
		b->event_number = b->last_seq;
		pipeline_remember_locked(&p, b);
	}
	p.seen = 5;
	ck_assert(!pipeline_accept_locked(&p));
	pipeline_confirm(&p, 1);
	ck_assert_uint_eq(p.accepted, 1);
	b = TAILQ_FIRST(&p.memory);
	pipeline_forget_locked(&p, b);
	b->spooled = true;
	pipeline_remember_locked(&p, b);
	ck_assert(pipeline_accept_locked(&p));
	ck_assert_uint_eq(p.accepted, 5);
	end();
}
END_TEST

START_TEST (test_what_is_dropped_is_counted_and_its_ring_goes_on) {
	struct batch *b;

	begin();
	ck_assert(submit_violation());
	b = TAILQ_FIRST(&p.memory);
	b->lost = 7; /* which the ring had lost before it */
	pipeline_forget_locked(&p, b);
	pipeline_drop_locked(&p, b);
	ck_assert_uint_eq(p.dropped[EVENT_VIOLATION_REPORT], 8);
	ck_assert_uint_eq(p.done_count, 1);
	ck_assert_uint_eq(p.done[0].position, 1);
	ck_assert_uint_eq(p.memory_bytes, 0);
	end();
}
END_TEST

/* The publisher is at it while the broker confirms it. */
START_TEST (test_a_batch_lives_as_long_as_somebody_holds_it) {
	struct batch *b;

	begin();
	ck_assert(submit_violation());
	b = TAILQ_FIRST(&p.memory);
	b->refs++;
	pipeline_confirm(&p, 1);
	ck_assert(TAILQ_EMPTY(&p.memory));
	ck_assert(b->gone);
	ck_assert_uint_eq(b->last_seq, 1);
	pipeline_release_locked(&p, b);
	end();
}
END_TEST

START_TEST (test_a_full_ring_may_use_more_memory) {
	begin();
	ck_assert(pipeline_has_room(&p, false));
	p.memory_bytes = PIPELINE_MEMORY_EASY / 2;
	p.in_bytes = PIPELINE_MEMORY_EASY / 2 - 1;
	ck_assert(pipeline_has_room(&p, false));
	p.in_bytes++;
	ck_assert(!pipeline_has_room(&p, false));
	ck_assert(pipeline_has_room(&p, true));
	p.memory_bytes = PIPELINE_MEMORY_MAX - p.in_bytes;
	ck_assert(!pipeline_has_room(&p, true));
	end();
}
END_TEST

START_TEST (test_a_reply_goes_whole_or_not_at_all) {
	char subject[PIPELINE_SUBJECT_LEN + 1];
	struct jsonbuf json = { 0 };
	struct reply *r;

	begin();
	memset(subject, 'a', sizeof(subject));
	subject[PIPELINE_SUBJECT_LEN] = '\0';
	jsonbuf_lit(&json, "{}");
	pipeline_reply(&p, subject, &json);
	ck_assert(STAILQ_EMPTY(&p.replies));
	json.failed = true;
	pipeline_reply(&p, "inbox", &json);
	ck_assert(STAILQ_EMPTY(&p.replies));
	json = (struct jsonbuf){ 0 };
	jsonbuf_lit(&json, "{}");
	pipeline_reply(&p, "inbox", &json);
	ck_assert_ptr_null(json.data);
	r = STAILQ_FIRST(&p.replies);
	ck_assert_ptr_nonnull(r);
	ck_assert_str_eq(r->subject, "inbox");
	ck_assert_uint_eq(r->json.len, 2);
	jsonbuf_free(&r->json);
	free(r);
	end();
}
END_TEST

UNIT_MAIN("pipeline", test_violations_go_straight_to_the_publisher,
    test_what_needs_the_spool_goes_through_the_store,
    test_a_broker_that_is_behind_gets_them_through_the_spool,
    test_accepting_tells_whether_it_is_news,
    test_nothing_is_accepted_past_what_is_in_memory_alone,
    test_what_is_dropped_is_counted_and_its_ring_goes_on,
    test_a_batch_lives_as_long_as_somebody_holds_it,
    test_a_full_ring_may_use_more_memory, test_a_reply_goes_whole_or_not_at_all)
