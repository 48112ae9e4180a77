/* SPDX-License-Identifier: ISC */
/*
 * SIGHUP and "aegisctl reload": a new configuration takes the place of the
 * old one as far as it can at run time; a bad one changes nothing.
 */
#include <string.h>

#include "agentd/agent.h"
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

/* The names of what changed, and which of them wait for a restart. */
static void
describe(const struct config_var *const *changed, size_t count, char *text,
    size_t size)
{
	size_t i, len = 0;
	int n;

	if (count == 0) {
		(void)snprintf(text, size, "nothing changed");
		return;
	}
	for (i = 0; i < count; i++) {
		n = snprintf(text + len, size - len, "%s%s%s",
		    i == 0 ? "" : ", ", changed[i]->name,
		    changed[i]->flags & CONFIG_RESTART
			? " (after a restart of agentd)"
			: "");
		if (n < 0 || (size_t)n >= size - len)
			return; /* cut, and terminated */
		len += (size_t)n;
	}
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
	const struct config_var *changed[CONFIG_VARS_MAX];
	static struct config new;
	uint32_t users = 0;
	size_t count;
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
	count = config_diff(&agent->config, &new, changed, &users, NULL);
	describe(changed, count, text, size);
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
	apply(agent, users);
	peer_verify_send_keys(agent); /* one that starts anew asks for them */
	return 0;
}
