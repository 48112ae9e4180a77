/* SPDX-License-Identifier: ISC */
/* agentd: whose the program is that has a hook which takes one (holder.c). */
#include "agentd/holder.h"

#include <string.h>

#include "agentd/agent.h"
#include "tests/unit/unit.h"

/* No kernel gets so far. */
#define NOBODY UINT32_MAX

static struct agent agent;
static struct artifact waits, runs;
static char text[256];

static void
setup(void)
{
	memset(&agent, 0, sizeof(agent));
	memset(&waits, 0, sizeof(waits));
	memset(&runs, 0, sizeof(runs));
	TAILQ_INIT(&agent.fleet.artifacts);
	TAILQ_INSERT_TAIL(&agent.fleet.artifacts, &waits, entry);
	TAILQ_INSERT_TAIL(&agent.fleet.artifacts, &runs, entry);
	str_copy_cut(runs.listing.artifact_id, sizeof(runs.listing.artifact_id),
	    "guard-7");
	str_copy_cut(runs.listing.name, sizeof(runs.listing.name), "guard");
	str_copy_cut(runs.listing.version, sizeof(runs.listing.version), "7.0");
	runs.custody = custody_new();
	ck_assert_ptr_nonnull(runs.custody);
	runs.custody->progs[3] = dup(STDERR_FILENO);
	runs.custody->prog_ids[3] = NOBODY;
}

static void
teardown(void)
{
	fd_close(&runs.custody->progs[3]);
	custody_free(runs.custody, NULL);
}

static const char *
whose(uint32_t id)
{
	str_copy_cut(text, sizeof(text), "eth0: busy");
	holder_add(&agent, id, text, sizeof(text));
	return text;
}

START_TEST (ours_is_named_as_the_registry_names_it) {
	ck_assert_str_eq(whose(NOBODY),
	    "eth0: busy; it is artifact \"guard-7\" (guard 7.0)");
}
END_TEST

START_TEST (what_nobody_knows_is_not_guessed_at) {
	ck_assert_str_eq(whose(0), "eth0: busy");
	/* A number whose program was given back is somebody else's. */
	fd_close(&runs.custody->progs[3]);
	ck_assert_str_eq(whose(NOBODY),
	    "eth0: busy; it is program 4294967295, which is not this agent's");
}
END_TEST

START_TEST (a_text_without_room_stays_a_text) {
	char small[16] = "eth0: busy";

	holder_add(&agent, NOBODY, small, sizeof(small));
	ck_assert_str_eq(small, "eth0: busy; it ");
}
END_TEST

UNIT_FIXTURE_MAIN("whose", setup, teardown,
    ours_is_named_as_the_registry_names_it, what_nobody_knows_is_not_guessed_at,
    a_text_without_room_stays_a_text)
