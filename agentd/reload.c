/* SPDX-License-Identifier: ISC */
/*
 * SIGHUP and "aegisctl reload": a new configuration takes the place of the
 * old one as far as it can at run time; a bad one changes nothing.
 */
#include <string.h>

#include "agentd/agent.h"
#include "agentd/changes.h"
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

static void
apply(struct agent *agent, const struct changes *c)
{
	uint32_t renew = changes_renew(c), restart = changes_restart(c);
	struct fleet_rules rules;
	int role;

	startup_rules(agent, &rules);
	agent->fleet.rules = rules;
	proc_set_log_level(
	    agent, agent->verbose ? LOG_LEVEL_DEBUG : agent->config.log_level);
	agent_arm_timers(agent);
	if ((renew & PROC_BIT(PROC_REGISTRY)) != 0)
		peer_registry_renew_tls(agent);
	if ((renew & PROC_BIT(PROC_VAULT)) != 0)
		peer_vault_renew_tls(agent);
	for (role = PROC_FIRST_WORKER; role <= PROC_LAST_WORKER; role++)
		if (restart & PROC_BIT(role))
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

	r = config_load_all(&new, agent->config_file, environ, &problems);
	log_problems(&problems);
	if (r < 0) {
		(void)snprintf(text, size,
		    "the new configuration has %zu errors (see the log): the "
		    "running one stays",
		    problems.errors);
		config_wipe(&new);
		return r;
	}
	c.var_count = config_diff(&agent->config, &new, c.vars);
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
	changes_describe(&c, text, size);
	apply(agent, &c);
	peer_verify_send_keys(agent); /* one that starts anew asks for them */
	return 0;
}
