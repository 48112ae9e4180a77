/* SPDX-License-Identifier: ISC */
/*
 * What a reload says of what changed, in the words of agentd(8), and whom it
 * makes start anew.
 */
#include "agentd/changes.h"

#include <string.h>

#include "tests/unit/unit.h"

#define API      PROC_BIT(PROC_API)
#define TELEM    PROC_BIT(PROC_TELEM)
#define REGISTRY PROC_BIT(PROC_REGISTRY)
#define VAULT    PROC_BIT(PROC_VAULT)

static struct changes c;
static char text[CHANGES_TEXT_SIZE];

static const struct config_var *
var(const char *name)
{
	const struct config_var *v;
	size_t i;

	for (i = 0; (v = config_var(i)) != NULL; i++)
		if (strcmp(v->name, name) == 0)
			return v;
	ck_abort_msg("%s: no such variable", name);
}

/* Nothing changed, */
static void
setup(void)
{
	memset(&c, 0, sizeof(c));
}

/* but the value of this one, */
static void
changed(const char *name)
{
	c.vars[c.var_count++] = var(name);
}

/* or what is in this one's file. */
static void
file_changed(const char *name)
{
	c.files[c.file_count++] = var(name);
	c.file_users |= var(name)->users;
}

static void
assert_text(const char *expected)
{
	changes_describe(&c, text, sizeof(text));
	ck_assert_str_eq(text, expected);
}

START_TEST (it_says_what_changed) {
	setup();
	assert_text("nothing changed");
	changed("AGENT_NATS_URL");
	assert_text("AGENT_NATS_URL");
	changed("AGENT_CONTROL_SOCKET");
	assert_text("AGENT_NATS_URL, "
		    "AGENT_CONTROL_SOCKET (after a restart of agentd)");
	file_changed("AGENT_NATS_CA");
	assert_text("AGENT_NATS_URL, "
		    "AGENT_CONTROL_SOCKET (after a restart of agentd), "
		    "AGENT_NATS_CA (what is in its file)");
}
END_TEST

/* Another file under another name is one change and said once. */
START_TEST (a_variable_is_named_once) {
	setup();
	changed("AGENT_NATS_CA");
	file_changed("AGENT_NATS_CA");
	assert_text("AGENT_NATS_CA");
	file_changed("AGENT_NATS_CERT");
	assert_text("AGENT_NATS_CA, AGENT_NATS_CERT (what is in its file)");
}
END_TEST

static void
change_everything(void)
{
	const struct config_var *v;
	size_t i;

	setup();
	for (i = 0; (v = config_var(i)) != NULL; i++)
		c.vars[c.var_count++] = v;
	/* Named a second time: no more than that must be known. */
	memcpy(c.files, c.vars, sizeof(c.files));
	c.file_count = c.var_count;
}

static size_t
count(const char *part)
{
	const char *at;
	size_t n = 0;

	for (at = text; (at = strstr(at, part)) != NULL; at++)
		n++;
	return n;
}

START_TEST (what_has_no_room_is_counted) {
	char more[32];
	size_t named;

	change_everything();
	changes_describe(&c, text, sizeof(text));
	ck_assert_uint_lt(strlen(text), sizeof(text));
	ck_assert_uint_gt(strlen(text), sizeof(text) - 100);
	named = count("AGENT_");
	ck_assert_uint_lt(named, c.var_count);
	(void)snprintf(
	    more, sizeof(more), ", and %zu more", c.var_count - named);
	ck_assert_str_eq(text + strlen(text) - strlen(more), more);
	/* The last name is whole. */
	text[strlen(text) - strlen(more)] = '\0';
	ck_assert_ptr_nonnull(strstr(text, c.vars[named - 1]->name));
	ck_assert_ptr_null(strstr(text, c.vars[named]->name));
}
END_TEST

START_TEST (no_size_is_overrun) {
	char room[CHANGES_TEXT_SIZE + 1];
	size_t size;

	change_everything();
	for (size = 1; size <= CHANGES_TEXT_SIZE; size++) {
		memset(room, 'x', sizeof(room));
		changes_describe(&c, room, size);
		ck_assert_ptr_nonnull(memchr(room, '\0', size));
		ck_assert_int_eq(room[size], 'x');
	}
}
END_TEST

START_TEST (who_starts_anew_and_who_takes_it_as_it_runs) {
	static const struct {
		const char *value, *file; /* what changed, or NULL */
		uint32_t restart, renew;
	} rows[] = {
		{ NULL, NULL, 0, 0 },
		{ "AGENT_HTTP_PORT", NULL, API, 0 },
		{ "AGENT_NATS_STREAM", NULL, TELEM, 0 },
		{ "AGENT_REGISTRY_CA", NULL, REGISTRY, 0 },
		{ "AGENT_VAULT_CA", NULL, VAULT, 0 },
		/* Of no worker: the fleet's, and the log's. */
		{ "AGENT_MAX_PROGRAMS", NULL, 0, 0 },
		{ "AGENT_LOG_LEVEL", NULL, 0, 0 },
		/* Nobody sees these before agentd starts anew itself. */
		{ "AGENT_HOST_ID", NULL, 0, 0 },
		{ "AGENT_STATE_DIR", NULL, 0, 0 },
		{ "AGENT_CACHE_DIR", NULL, 0, 0 },
		/* New files under old names: no download is broken off. */
		{ NULL, "AGENT_HTTP_CERT", API, 0 },
		{ NULL, "AGENT_NATS_CREDS", TELEM, 0 },
		{ NULL, "AGENT_REGISTRY_CERT", 0, REGISTRY },
		{ NULL, "AGENT_VAULT_CA", 0, VAULT },
		/* Both: who starts anew reads the files, too. */
		{ "AGENT_POLL_INTERVAL_SEC", "AGENT_REGISTRY_CA", REGISTRY, 0 },
		{ "AGENT_VAULT_URL", "AGENT_REGISTRY_CA", VAULT, REGISTRY },
		{ "AGENT_CACHE_DIR", "AGENT_REGISTRY_CA", 0, REGISTRY },
	};
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		setup();
		if (rows[i].value != NULL)
			changed(rows[i].value);
		if (rows[i].file != NULL)
			file_changed(rows[i].file);
		ck_assert_msg(changes_restart(&c) == rows[i].restart &&
			changes_renew(&c) == rows[i].renew,
		    "row %zu: restart 0x%x, renew 0x%x", i, changes_restart(&c),
		    changes_renew(&c));
	}
}
END_TEST

UNIT_MAIN("changes", it_says_what_changed, a_variable_is_named_once,
    what_has_no_room_is_counted, no_size_is_overrun,
    who_starts_anew_and_who_takes_it_as_it_runs)
