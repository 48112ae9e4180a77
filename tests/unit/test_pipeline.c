/* SPDX-License-Identifier: ISC */
#include "telemd/pipeline.h"

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

UNIT_MAIN("pipeline", test_violations_go_straight_to_the_publisher,
    test_what_needs_the_spool_goes_through_the_store,
    test_a_broker_that_is_behind_gets_them_through_the_spool,
    test_accepting_tells_whether_it_is_news)
