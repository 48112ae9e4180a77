/* SPDX-License-Identifier: ISC */
#include "apid/crowd.h"

#include "tests/unit/unit.h"

static struct crowd_member members[1024];

/* COUNT of them, the first SLOW for 100 ms and more, the others served now. */
static size_t
choose(size_t count, size_t slow)
{
	size_t i;

	for (i = 0; i < count; i++)
		members[i] = (struct crowd_member){
			.fd = (int)i,
			.idle_ms = i < slow ? 100 + (uint32_t)i : 10,
		};
	return crowd_choose(members, count);
}

START_TEST (nobody_is_ended_while_there_is_room) {
	ck_assert_uint_eq(choose(0, 0), 0);
	ck_assert_uint_eq(choose(CROWD_MAX, CROWD_MAX), 0);
}
END_TEST

START_TEST (the_idlest_make_room) {
	size_t i;

	ck_assert_uint_eq(choose(CROWD_MAX + 30, CROWD_MAX), 30);
	for (i = 0; i < 30; i++)
		ck_assert_uint_eq(members[i].idle_ms, 100 + CROWD_MAX - 1 - i);
}
END_TEST

START_TEST (who_was_just_served_is_let_be) {
	ck_assert_uint_eq(choose(CROWD_MAX + 30, 0), 0);
	ck_assert_uint_eq(choose(CROWD_MAX + 30, 7), 7);
	ck_assert_uint_eq(members[0].fd, 6);
	ck_assert_uint_eq(members[6].fd, 0);
}
END_TEST

START_TEST (who_waits_for_us_has_time) {
	size_t i;

	(void)choose(CROWD_MAX + 30, CROWD_MAX);
	for (i = 0; i < CROWD_MAX + 30; i++)
		members[i].unread = true;
	ck_assert_uint_eq(crowd_choose(members, CROWD_MAX + 30), 0);
	members[3].idle_ms = CROWD_UNREAD_MS;
	members[5] = (struct crowd_member){ .fd = 1000, .idle_ms = 60 };
	ck_assert_uint_eq(crowd_choose(members, CROWD_MAX + 30), 2);
	ck_assert_uint_eq(members[0].idle_ms, CROWD_UNREAD_MS);
	ck_assert_int_eq(members[1].fd, 1000);
}
END_TEST

UNIT_MAIN("crowd", nobody_is_ended_while_there_is_room, the_idlest_make_room,
    who_was_just_served_is_let_be, who_waits_for_us_has_time)
