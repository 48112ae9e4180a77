/* SPDX-License-Identifier: ISC */
/* Files that are renewed under the names that the configuration has. */
#include "agentd/config_files.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/msg.h"
#include "tests/unit/unit.h"

static char dir[] = "/tmp/test-config-files.XXXXXX";
static struct config c;
static struct config_files f;

/* Made aside and renamed, as whoever renews a certificate does. */
static void
renew(const char *name, const char *text)
{
	char path[128], new[136];
	FILE *out;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	(void)snprintf(new, sizeof(new), "%s.new", path);
	out = fopen(new, "we");
	ck_assert_ptr_nonnull(out);
	ck_assert_int_ge(fputs(text, out), 0);
	ck_assert_int_eq(fclose(out), 0);
	ck_assert_int_eq(rename(new, path), 0);
}

static void
name(char *field, const char *prefix, const char *file)
{
	(void)sprintf(field, "%s%s/%s", prefix, dir, file);
}

static size_t
diff(const struct config_var *changed[CONFIG_VARS_MAX], uint32_t *users)
{
	return config_files_diff(&f, &c, changed, users);
}

static void
begin(void)
{
	const struct config_var *changed[CONFIG_VARS_MAX];
	uint32_t users;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	renew("ca", "one");
	renew("creds", "one");
	renew("key", "one");
	name(c.registry_ca, "", "ca");
	name(c.nats_creds, "", "creds");
	name(c.public_key, "file:", "key");
	name(c.rollback_signal_key, "file:", "key");
	/* Nothing is older than the first look. */
	ck_assert_uint_eq(diff(changed, &users), 0);
	ck_assert_uint_eq(users, 0);
	ck_assert_uint_eq(diff(changed, &users), 0);
}

static void
end(void)
{
	static const char *const files[] = { "ca", "creds", "key" };
	char path[128];
	size_t i;

	for (i = 0; i < nitems(files); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		(void)unlink(path);
	}
	ck_assert_int_eq(rmdir(dir), 0);
}

START_TEST (who_uses_a_renewed_file_is_told_once) {
	const struct config_var *changed[CONFIG_VARS_MAX];
	uint32_t users;

	begin();
	renew("ca", "two");
	ck_assert_uint_eq(diff(changed, &users), 1);
	ck_assert_str_eq(changed[0]->name, "AGENT_REGISTRY_CA");
	ck_assert_uint_eq(users, PROC_BIT(PROC_REGISTRY));
	ck_assert_uint_eq(diff(changed, &users), 0);
	ck_assert_uint_eq(users, 0);
	renew("ca", "three");
	renew("creds", "two");
	ck_assert_uint_eq(diff(changed, &users), 2);
	ck_assert_uint_eq(
	    users, PROC_BIT(PROC_REGISTRY) | PROC_BIT(PROC_TELEM));
	end();
}
END_TEST

/* agentd reads AGENT_PUBLIC_KEY's with every reload; the other is telemd's. */
START_TEST (keys_that_agentd_reads_are_not_among_them) {
	const struct config_var *changed[CONFIG_VARS_MAX];
	uint32_t users;

	begin();
	renew("key", "two");
	ck_assert_uint_eq(diff(changed, &users), 1);
	ck_assert_str_eq(changed[0]->name, "AGENT_ROLLBACK_SIGNAL_KEY");
	ck_assert_uint_eq(users, PROC_BIT(PROC_TELEM));
	end();
}
END_TEST

START_TEST (a_file_that_is_away_is_no_change) {
	const struct config_var *changed[CONFIG_VARS_MAX];
	char path[128];
	uint32_t users;

	begin();
	(void)snprintf(path, sizeof(path), "%s/ca", dir);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_uint_eq(diff(changed, &users), 0);
	renew("ca", "back");
	ck_assert_uint_eq(diff(changed, &users), 1);
	c.registry_ca[0] = '\0';
	ck_assert_uint_eq(diff(changed, &users), 0);
	end();
}
END_TEST

UNIT_MAIN("config_files", who_uses_a_renewed_file_is_told_once,
    keys_that_agentd_reads_are_not_among_them, a_file_that_is_away_is_no_change)
