/* SPDX-License-Identifier: ISC */
#include "agentd/worker_log.h"

#include "common/clock.h"
#include "common/log.h"
#include "tests/unit/unit.h"

static const struct msg_worker_log line = {
	.level = LOG_LEVEL_DEBUG, /* not written: it is below the level */
	.text = "said",
};

/* So many of COUNT lines at NOW are left out. */
static uint64_t
say(struct worker_log *wl, unsigned int count, int64_t now)
{
	uint64_t before = wl->left_out;

	while (count-- > 0)
		ck_assert_int_eq(worker_log_write(wl, PROC_API, &line, now), 0);
	return wl->left_out - before;
}

START_TEST (a_burst_is_written_and_no_more) {
	struct worker_log wl;

	worker_log_init(&wl, NSEC_PER_SEC);
	ck_assert_uint_eq(say(&wl, WORKER_LOG_RATE, NSEC_PER_SEC), 0);
	ck_assert_uint_eq(say(&wl, 1, NSEC_PER_SEC), 1);
	ck_assert_uint_eq(say(&wl, 10, NSEC_PER_SEC), 10);
	/* A hundredth of a second later there is room for five. */
	ck_assert_uint_eq(say(&wl, 6, NSEC_PER_SEC + NSEC_PER_SEC / 100), 1);
	/* However long it was silent. */
	ck_assert_uint_eq(say(&wl, WORKER_LOG_RATE + 1, 100 * NSEC_PER_SEC), 1);
}
END_TEST

START_TEST (what_is_left_out_is_told_once) {
	struct worker_log wl;

	worker_log_init(&wl, 0);
	ck_assert_uint_eq(say(&wl, WORKER_LOG_RATE + 7, 0), 7);
	worker_log_tell(&wl, PROC_API);
	ck_assert_uint_eq(wl.left_out, 0);
}
END_TEST

START_TEST (what_is_no_line_is_refused) {
	struct msg_worker_log bad = line;
	struct worker_log wl;

	worker_log_init(&wl, 0);
	bad.level = LOG_LEVEL_MAX;
	ck_assert_int_eq(worker_log_write(&wl, PROC_API, &bad, 0), -EINVAL);
	bad = line;
	memset(bad.text, 'x', sizeof(bad.text));
	ck_assert_int_eq(worker_log_write(&wl, PROC_API, &bad, 0), -EINVAL);
	ck_assert_uint_eq(wl.left_out, 0);
}
END_TEST

UNIT_MAIN("worker_log", a_burst_is_written_and_no_more,
    what_is_left_out_is_told_once, what_is_no_line_is_refused)
