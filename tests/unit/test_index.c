/* SPDX-License-Identifier: ISC */
#include "agentd/index.h"

#include <stdio.h>

#include "agentd/artifact.h"
#include "tests/unit/unit.h"

#define COUNT 200 /* more than there is room for at first */

static struct artifact artifacts[COUNT];
static struct artifact_index idx;

/* Three records an id, their handles in another order than they came. */
static void
fill(void)
{
	size_t i;

	for (i = 0; i < COUNT; i++) {
		artifacts[i].handle = 1 + (i * 77) % COUNT;
		(void)snprintf(artifacts[i].listing.artifact_id,
		    sizeof(artifacts[i].listing.artifact_id), "id-%zu", i / 3);
		ck_assert_int_eq(index_add(&idx, &artifacts[i]), 0);
	}
}

/* How many records of ID there are; each is older than the one before. */
static size_t
count_of(const char *id)
{
	struct artifact *a = NULL;
	uint64_t last = UINT64_MAX;
	size_t n = 0;

	while ((a = index_next(&idx, id, a)) != NULL) {
		ck_assert_str_eq(a->listing.artifact_id, id);
		ck_assert_uint_lt(a->handle, last);
		last = a->handle;
		n++;
	}
	return n;
}

START_TEST (nothing_is_in_an_empty_one) {
	ck_assert_ptr_null(index_find(&idx, 1));
	ck_assert_ptr_null(index_next(&idx, "id-0", NULL));
}
END_TEST

START_TEST (each_is_found_by_its_handle) {
	size_t i;

	fill();
	for (i = 0; i < COUNT; i++)
		ck_assert_ptr_eq(
		    index_find(&idx, artifacts[i].handle), &artifacts[i]);
	ck_assert_ptr_null(index_find(&idx, 0));
	ck_assert_ptr_null(index_find(&idx, COUNT + 1));
	index_free(&idx);
}
END_TEST

START_TEST (those_of_an_id_come_from_the_newest_on) {
	fill();
	ck_assert_uint_eq(count_of("id-0"), 3);
	ck_assert_uint_eq(count_of("id-9"), 3);
	ck_assert_uint_eq(count_of("id-66"), 2); /* the last */
	ck_assert_uint_eq(count_of("id-"), 0);
	ck_assert_uint_eq(count_of("id-67"), 0);
	ck_assert_uint_eq(count_of(""), 0);
	ck_assert_uint_eq(count_of("zzz"), 0);
	index_free(&idx);
}
END_TEST

START_TEST (what_is_removed_is_not_found) {
	size_t i;

	fill();
	for (i = 0; i < COUNT; i += 3)
		index_remove(&idx, &artifacts[i]);
	for (i = 0; i < COUNT; i++)
		ck_assert_ptr_eq(index_find(&idx, artifacts[i].handle),
		    i % 3 == 0 ? NULL : &artifacts[i]);
	ck_assert_uint_eq(count_of("id-0"), 2);
	for (i = 0; i < COUNT; i++)
		if (i % 3 != 0)
			index_remove(&idx, &artifacts[i]);
	ck_assert_uint_eq(idx.count, 0);
	ck_assert_uint_eq(count_of("id-0"), 0);
	index_free(&idx);
}
END_TEST

UNIT_MAIN("index", nothing_is_in_an_empty_one, each_is_found_by_its_handle,
    those_of_an_id_come_from_the_newest_on, what_is_removed_is_not_found)
