/* SPDX-License-Identifier: ISC */
/*
 * SIGHUP and "aegisctl reload": a new configuration takes the place of the
 * old one as far as it can at run time; a bad one changes nothing.
 */
#include <string.h>

#include "agentd/agent.h"
#include "agentd/peer_fetch.h"
#include "agentd/peer_verify.h"
#include "agentd/startup.h"
#include "common/log.h"

extern char **environ;

static void
log_problems(const struct config_problems *problems)
{
	char text[1024];
	size_t i;

	for (i = 0; i < problems->count; i++) {
		config_problem_format(&problems->list[i], text, sizeof(text));
		log_line(problems->list[i].warning ? LOG_LEVEL_WARN
						   : LOG_LEVEL_ERROR,
		    NULL, NULL, "configuration: %s", text);
	}
}

/* What is new: values, and files that the same values name. */
struct changes {
	const struct config_var *vars[CONFIG_VARS_MAX];
	size_t var_count;
	uint32_t users; /* PROC_BIT()s of who must know */
	const struct config_var *files[CONFIG_VARS_MAX];
	size_t file_count;
	uint32_t file_users;
};

/* Returns the new length. */
static size_t
add_name(char *text, size_t size, size_t len, const char *name, const char *how)
{
	int n = snprintf(
	    text + len, size - len, "%s%s%s", len == 0 ? "" : ", ", name, how);

	/* Cut, and terminated. */
	return n < 0 || (size_t)n >= size - len ? len : len + (size_t)n;
}

static bool
is_among(const struct config_var *const *vars, size_t count,
    const struct config_var *var)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (vars[i] == var)
			return true;
	return false;
}

/* The names of what changed, and which of them wait for a restart. */
static void
describe(const struct changes *c, char *text, size_t size)
{
	size_t i, len = 0;

	(void)snprintf(text, size, "nothing changed");
	for (i = 0; i < c->var_count; i++)
		len = add_name(text, size, len, c->vars[i]->name,
		    c->vars[i]->flags & CONFIG_RESTART
			? " (after a restart of agentd)"
			: "");
	for (i = 0; i < c->file_count; i++)
		if (!is_among(c->vars, c->var_count, c->files[i]))
			len = add_name(text, size, len, c->files[i]->name,
			    " (what is in its file)");
}

/*
 * Who must start anew for files: fetchd takes them as it runs, so that no
 * download is broken off.
 */
static uint32_t
renew_files(struct agent *agent, const struct changes *c)
{
	uint32_t told = c->file_users & ~c->users;

	if ((told & PROC_BIT(PROC_REGISTRY)) != 0)
		peer_registry_renew_tls(agent);
	if ((told & PROC_BIT(PROC_VAULT)) != 0)
		peer_vault_renew_tls(agent);
	return c->file_users & (PROC_BIT(PROC_API) | PROC_BIT(PROC_TELEM));
}

static void
apply(struct agent *agent, uint32_t users)
{
	struct fleet_rules rules;
	int role;

	startup_rules(agent, &rules);
	agent->fleet.rules = rules;
	proc_set_log_level(
	    agent, agent->verbose ? LOG_LEVEL_DEBUG : agent->config.log_level);
	agent_arm_timers(agent);
	for (role = PROC_FIRST_WORKER; role <= PROC_LAST_WORKER; role++)
		if (users & PROC_BIT(role))
			proc_restart(agent, (enum proc_role)role);
}

int
agent_reload(struct agent *agent, char *text, size_t size)
{
	_cleanup_config_problems_ struct config_problems problems =
	    CONFIG_PROBLEMS_INIT;
	static struct config new;
	struct changes c = { 0 };
	int r;

	r = config_load(&new, agent->config_file, environ, &problems);
	if (r == 0)
		r = config_check_files(&new, &problems);
	log_problems(&problems);
	if (r < 0) {
		(void)snprintf(text, size,
		    "the new configuration has %zu errors (see the log): the "
		    "running one stays",
		    problems.errors);
		config_wipe(&new);
		return r;
	}
	c.var_count = config_diff(&agent->config, &new, c.vars, &c.users, NULL);
	config_apply(&agent->config, &new);
	config_wipe(&new);
	/* Files behind unchanged names may have changed: keys, tokens. */
	r = startup_read_keys(agent);
	if (r < 0) {
		(void)snprintf(text, size,
		    "AGENT_PUBLIC_KEY cannot be read: "
		    "the keys known so far stay");
		return r;
	}
	c.file_count = config_files_diff(
	    &agent->files, &agent->config, c.files, &c.file_users);
	describe(&c, text, size);
	apply(agent, c.users | renew_files(agent, &c));
	peer_verify_send_keys(agent); /* one that starts anew asks for them */
	return 0;
}
