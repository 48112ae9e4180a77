/* SPDX-License-Identifier: ISC */
/* What a list of the largest size costs, whoever made it. */
#include <stdio.h>
#include <time.h>

#include "tests/unit/fleet_fixture.h"
#include "tests/unit/unit.h"

#define SMALL (AEGIS_LIST_ENTRIES / 8)
#define TRIES 5

/* In how many times the time of SMALL the largest is to be done: 8 if it
 * were proportional, and memory caches are smaller than the largest. */
#define RATIO_MAX 40

static struct artlist_entry many[AEGIS_LIST_ENTRIES];
static unsigned int poll;

static double
cpu_ms(void)
{
	struct timespec t;

	ck_assert_int_eq(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t), 0);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* The next list has COUNT entries that none had before. */
static void
make_new(uint32_t count)
{
	uint32_t i;

	poll++;
	for (i = 0; i < count; i++) {
		many[i] = (struct artlist_entry){
			.has_sha256 = 1,
			.ttl_sec = -1,
			.replaces = "loaded",
			.version = "1.0.0",
		};
		(void)snprintf(many[i].artifact_id, sizeof(many[i].artifact_id),
		    "artifact-%u-%u", i, poll);
		(void)snprintf(
		    many[i].name, sizeof(many[i].name), "program-%u", i);
		memcpy(many[i].sha256, &i, sizeof(i));
	}
}

static double
apply(uint32_t count)
{
	struct artlist_header header = { .entry_count = count };
	struct artlist list = {
		.header = &header,
		.entries = many,
		.data = (const uint8_t *)"",
	};
	struct action *action;
	double start = cpu_ms();

	fleet_apply_list(&fleet, &list, now);
	while ((action = fleet_next_action(&fleet)) != NULL)
		free(action);
	return cpu_ms() - start;
}

/* The shortest of some lists, each of which has nothing of the one before. */
static double
best_of_new(uint32_t count)
{
	double took, best = 0;
	int i;

	/* The first meets fewer old ones than the others. */
	for (i = 0; i <= TRIES; i++) {
		make_new(count);
		took = apply(count);
		if (i == 1 || (i > 1 && took < best))
			best = took;
	}
	return best;
}

START_TEST (new_lists_cost_in_proportion) {
	double small, large;

	list_and_load("loaded", "n", "1.0.0", 1);
	fleet.can_fetch = false;
	small = best_of_new(SMALL);
	large = best_of_new(AEGIS_LIST_ENTRIES);
	ck_assert_msg(large < RATIO_MAX * small, "%.1f ms, %u times %.2f ms",
	    large, (unsigned int)(large / small), small);
	/* Withdrawn after two polls, whatever came meanwhile. */
	ck_assert_uint_le(fleet.index.count, 2 * AEGIS_LIST_ENTRIES + 1);
}
END_TEST

START_TEST (the_same_list_costs_in_proportion) {
	double small, large, took;
	int i;

	fleet.can_fetch = false;
	make_new(SMALL);
	small = apply(SMALL);
	for (i = 0; i < TRIES; i++)
		if ((took = apply(SMALL)) < small)
			small = took;
	make_new(AEGIS_LIST_ENTRIES);
	large = apply(AEGIS_LIST_ENTRIES);
	for (i = 0; i < TRIES; i++)
		if ((took = apply(AEGIS_LIST_ENTRIES)) < large)
			large = took;
	ck_assert_uint_eq(fleet.index.count, AEGIS_LIST_ENTRIES);
	ck_assert_msg(large < RATIO_MAX * small, "%.1f ms, %u times %.2f ms",
	    large, (unsigned int)(large / small), small);
}
END_TEST

UNIT_FIXTURE_MAIN("fleet_size", setup, teardown, new_lists_cost_in_proportion,
    the_same_list_costs_in_proportion)
