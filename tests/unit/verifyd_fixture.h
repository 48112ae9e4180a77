/* SPDX-License-Identifier: ISC */
/*
 * What the tests of verifyd share: JSON from C strings, problems to look at,
 * a plan read back.
 */
#ifndef TESTS_UNIT_VERIFYD_FIXTURE_H
#define TESTS_UNIT_VERIFYD_FIXTURE_H

#include <check.h>
#include <json-c/json.h>
#include <string.h>

#include "common/loadplan.h"
#include "common/memfd.h"
#include "common/strnum.h"
#include "verifyd/problems.h"

/* 'a' in place of "a", so that tests can be read.  Owned. */
static inline struct json_object *
json_of(const char *text)
{
	_cleanup_free_ char *copy = strdup(text);
	struct json_object *o;
	char *p;

	ck_assert_ptr_nonnull(copy);
	for (p = copy; *p != '\0'; p++)
		if (*p == '\'')
			*p = '"';
	o = json_tokener_parse(copy);
	ck_assert_msg(o != NULL || strcmp(text, "null") == 0, "JSON: %s", text);
	return o;
}

/* The problems hold the words WANTED; NULL: there are none. */
static inline void
expect_problem(struct problems *p, const char *wanted, const char *about)
{
	const char *text = problems_text(p);

	if (wanted == NULL)
		ck_assert_msg(p->count == 0, "%s: unexpected: %s", about, text);
	else
		ck_assert_msg(p->count > 0 && strstr(text, wanted) != NULL,
		    "%s: wanted \"%s\", problems: \"%s\"", about, wanted, text);
}

/* Hexadecimal text of LEN bytes; in a static buffer. */
static inline const char *
hex_of(const void *data, size_t len)
{
	static char out[4096];

	ck_assert_uint_lt(2 * len, sizeof(out));
	strnum_format_hex(data, len, out);
	return out;
}

/* A finished plan, checked as bpfd checks it. */
struct read_plan {
	int fd;
	struct memfd_map map;
	struct loadplan plan;
};

static inline void
plan_read(struct loadplan_builder *b, struct read_plan *out)
{
	const char *what = "";

	out->fd = loadplan_finish(b);
	ck_assert_int_ge(out->fd, 0);
	ck_assert_int_eq(memfd_map(out->fd, AEGIS_PLAN_MAX, &out->map), 0);
	ck_assert_msg(
	    loadplan_check(out->map.data, out->map.len, &out->plan, &what) == 0,
	    "plan: %s", what);
}

static inline void
plan_release(struct read_plan *p)
{
	memfd_unmap(&p->map);
	fd_close(&p->fd);
}

#endif
