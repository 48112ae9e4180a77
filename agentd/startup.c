/* SPDX-License-Identifier: ISC */
#include "agentd/startup.h"

#include <fcntl.h>
#include <mntent.h>
#include <string.h>
#include <sys/random.h>
#include <sys/utsname.h>

#include "agentd/agent.h"
#include "agentd/broker.h"
#include "agentd/control.h"
#include "agentd/dirs.h"
#include "common/log.h"
#include "common/memfd.h"
#include "common/notify.h"
#include "common/pubkey.h"
#include "common/sandbox.h"

extern char **environ;

static void
print_problems(const struct config_problems *problems)
{
	char text[1024];
	size_t i;

	for (i = 0; i < problems->count; i++) {
		config_problem_format(&problems->list[i], text, sizeof(text));
		(void)fprintf(stderr, "agentd: %s%s\n",
		    problems->list[i].warning ? "warning: " : "", text);
	}
}

static bool
refused(const char *name, const char *error)
{
	(void)fprintf(stderr, "agentd: %s: %s\n", name, error);
	return false;
}

/* The directories that open_dirs() and open_control_dir() would refuse. */
static bool
check_dirs(const struct config *c)
{
	char error[DIRS_ERROR_SIZE];
	bool good = true;
	uid_t uid;
	gid_t gid;
	int fd;

	if (sandbox_lookup_user(PROC_REGISTRY, &uid, &gid) < 0)
		uid = geteuid();
	if (dirs_check_state(c->state_dir, error) < 0)
		good = refused("AGENT_STATE_DIR", error);
	if (dirs_check_cache(c->cache_dir, uid, error) < 0)
		good = refused("AGENT_CACHE_DIR", error);
	if (dirs_check_parent(c->control_socket, error) < 0)
		good = refused("AGENT_CONTROL_SOCKET", error);
	if (strncmp(c->registry_url, "file://", 7) == 0) {
		fd = dirs_open_registry(c->registry_url + 7, error);
		if (fd < 0)
			good = refused("AGENT_REGISTRY_URL", error);
		else
			(void)close(fd);
	}
	return good;
}

int
startup_check(const char *file)
{
	_cleanup_config_problems_ struct config_problems problems =
	    CONFIG_PROBLEMS_INIT;
	static struct config config;
	bool good;

	good = config_load_all(&config, file, environ, &problems) == 0;
	print_problems(&problems);
	/* Who is not root cannot tell: agentd's ways are open to it alone. */
	if (geteuid() == 0 && !check_dirs(&config))
		good = false;
	config_wipe(&config);
	return good ? 0 : 1;
}

void
startup_configure(struct agent *agent)
{
	_cleanup_config_problems_ struct config_problems problems =
	    CONFIG_PROBLEMS_INIT;
	char text[1024];
	size_t i;
	int r;

	r = config_load_all(
	    &agent->config, agent->config_file, environ, &problems);
	log_open_stdout("agentd", agent->config.host_id, agent->people);
	log_set_level(
	    agent->verbose ? LOG_LEVEL_DEBUG : agent->config.log_level);
	for (i = 0; i < problems.count; i++) {
		config_problem_format(&problems.list[i], text, sizeof(text));
		log_line(
		    problems.list[i].warning ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR,
		    NULL, NULL, "configuration: %s", text);
	}
	if (r < 0)
		fatal("the configuration has %zu errors: not started",
		    problems.errors);
}

/* Where cgroup v2 is mounted; "" if nowhere. */
static void
find_cgroup_root(char *out, size_t size)
{
	struct mntent *m;
	FILE *f = setmntent("/proc/self/mounts", "re");

	out[0] = '\0';
	if (f == NULL)
		return;
	while ((m = getmntent(f)) != NULL) {
		if (strcmp(m->mnt_type, "cgroup2") != 0)
			continue;
		if (str_copy(out, size, m->mnt_dir) < 0)
			out[0] = '\0';
		break;
	}
	(void)endmntent(f);
}

static void
describe_host(struct agent *agent)
{
	struct utsname uts;

	agent->started = moment_now();
	find_cgroup_root(agent->cgroup_root, sizeof(agent->cgroup_root));
	if (uname(&uts) == -1)
		fatal("uname: %s", strerror(errno));
	str_copy_cut(
	    agent->kernel_release, sizeof(agent->kernel_release), uts.release);
	str_copy_cut(
	    agent->architecture, sizeof(agent->architecture), uts.machine);
}

/* The account of a worker that gets a directory of its own. */
static void
need_user(enum proc_role role, uid_t *uid, gid_t *gid)
{
	if (sandbox_lookup_user(role, uid, gid) < 0)
		fatal("account %s does not exist: scripts/setup or "
		      "systemd-sysusers makes it",
		    sandbox_user(role));
}

static void
open_dirs(struct agent *agent)
{
	const struct config *c = &agent->config;
	char error[DIRS_ERROR_SIZE];
	uid_t uid;
	gid_t gid;

	agent->state_dir = dirs_open_state(c->state_dir, error);
	if (agent->state_dir < 0)
		fatal("AGENT_STATE_DIR: %s", error);
	need_user(PROC_TELEM, &uid, &gid);
	agent->spool_dir = dirs_open_spool(agent->state_dir, uid, gid, error);
	if (agent->spool_dir < 0)
		fatal("AGENT_STATE_DIR: %s", error);
	need_user(PROC_REGISTRY, &uid, &gid);
	agent->cache_dir = dirs_open_cache(c->cache_dir, uid, gid, error);
	if (agent->cache_dir < 0)
		fatal("AGENT_CACHE_DIR: %s", error);
	agent->registry_dir = -1;
	if (strncmp(c->registry_url, "file://", 7) == 0) {
		agent->registry_dir =
		    dirs_open_registry(c->registry_url + 7, error);
		if (agent->registry_dir < 0)
			fatal("AGENT_REGISTRY_URL: %s", error);
	}
}

int
startup_read_keys(struct agent *agent)
{
	_cleanup_config_secret_ struct config_secret text = { 0 };
	char error[AEGIS_TEXT_SIZE];
	int r;

	if (agent->config.public_key[0] == '\0')
		return 0; /* Vault has it */
	r = config_read_public_key(agent->config.public_key, &text, error);
	if (r < 0) {
		log_error("AGENT_PUBLIC_KEY: %s", error);
		return r;
	}
	r = memfd_from_bytes("public-key", text.data, text.len);
	if (r < 0)
		return r;
	fd_close(&agent->keys);
	agent->keys = r;
	agent->keys_are_set = false;
	return 0;
}

void
startup_rules(const struct agent *agent, struct fleet_rules *rules)
{
	const struct config *c = &agent->config;

	*rules = (struct fleet_rules) {
		.max_programs = c->max_programs,
		.default_ttl_sec = c->default_ttl_sec,
		.unload_withdrawn = c->unload_withdrawn,
		.rollback_verifier_failure = c->rollback_verifier_failure,
		.rollback_delay_ns = c->rollback_delay_sec * NSEC_PER_SEC,
		.probation_ns = c->probation_sec * NSEC_PER_SEC,
		.limits = {
			.max_errors = (double)c->rollback_max_errors,
			.max_violations = (double)c->rollback_max_violations,
			.max_cpu_percent = c->rollback_max_cpu_percent,
			.max_latency_ms = c->rollback_max_latency_ms,
			.max_memory_kb = (double)c->rollback_max_memory_kb,
		},
	};
}

/*
 * A mark of our own, for as long as there is this state: another agent on
 * this host has another one, and does not touch what bears ours.
 */
static void
make_filter_owner(struct agent *agent)
{
	while (agent->state.filter_owner == 0) {
		if (getrandom(&agent->state.filter_owner,
			sizeof(agent->state.filter_owner), 0) < 0)
			fatal("getrandom: %s", strerror(errno));
		agent->state_dirty = true;
	}
}

static void
open_fleet(struct agent *agent)
{
	uint8_t boot_id[STATE_BOOT_ID_SIZE];
	struct fleet_rules rules;
	int r;

	/* Errors are logged; the state is then empty and usable. */
	r = state_load(agent->state_dir, &agent->state);
	if (r < 0 && r != -EBADMSG)
		agent->state_failing = true;
	make_filter_owner(agent);
	r = state_boot_id(boot_id);
	if (r < 0)
		log_warn("boot id: %s: TTLs go by the wall clock over a "
			 "restart of agentd",
		    strerror(-r));
	startup_rules(agent, &rules);
	fleet_init(&agent->fleet, &rules, &agent->state, boot_id);
}

static void
open_control_dir(const struct agent *agent)
{
	char error[DIRS_ERROR_SIZE];
	const char *name;
	int fd;

	fd = dirs_open_parent(agent->config.control_socket, &name, error);
	if (fd < 0)
		fatal("AGENT_CONTROL_SOCKET: %s", error);
	(void)close(fd);
}

void
startup_open(struct agent *agent)
{
	const struct config_var *named[CONFIG_VARS_MAX];
	uint32_t users;
	int r;

	if (geteuid() != 0)
		fatal("agentd must be started as root: it starts its workers "
		      "as users of their own");
	agent->keys = -1;
	(void)config_files_diff(&agent->files, &agent->config, named, &users);
	describe_host(agent);
	open_dirs(agent);
	open_fleet(agent);
	if (startup_read_keys(agent) < 0)
		fatal("without a usable AGENT_PUBLIC_KEY nothing is trusted: "
		      "not started");
	r = notify_open(&agent->notify);
	if (r < 0)
		log_warn("NOTIFY_SOCKET: %s: the service manager is not told",
		    strerror(-r));
	open_control_dir(agent);
	r = control_open(&agent->control, agent, agent->config.control_socket);
	if (r < 0)
		fatal("AGENT_CONTROL_SOCKET: %s: %s%s",
		    agent->config.control_socket, strerror(-r),
		    r == -EADDRINUSE ? ": another agentd runs" : "");
	agent->stats = broker_enable_stats();
	if (agent->stats < 0)
		log_warn("BPF_ENABLE_STATS: %s: run times are not counted",
		    strerror(-agent->stats));
}

/* The directory of a file that a reload may have to read again. */
static void
grant_directory_of(struct sandbox_grants *grants, const char *path, bool write)
{
	char dir[AEGIS_PATH_SIZE];
	char *slash;
	int fd;

	if (path == NULL || *path != '/')
		return;
	str_copy_cut(dir, sizeof(dir), path);
	slash = strrchr(dir, '/');
	slash[slash == dir ? 1 : 0] = '\0';
	/* Stays open until exit: the ruleset holds it anyway. */
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && sandbox_grant_dir(grants, fd, write) < 0)
		log_warn("%s cannot be read again after start: it needs a "
			 "restart when it changes",
		    path);
}

void
startup_close_sandbox(struct agent *agent)
{
	const struct config *c = &agent->config;
	const char *const files[] = { agent->config_file, c->registry_ca,
		c->registry_cert, c->registry_key, c->registry_token_file,
		c->vault_ca, c->vault_token_file, c->nats_ca, c->nats_cert,
		c->nats_key, c->nats_creds, c->http_cert, c->http_key,
		c->http_token_file };
	struct sandbox_grants grants = { 0 };
	size_t i;
	int r;

	if (sandbox_grant_dir(&grants, agent->state_dir, true) < 0)
		fatal("sandbox: too many directories");
	grant_directory_of(&grants, c->control_socket, true);
	if (pubkey_is_file(c->public_key))
		grant_directory_of(&grants, pubkey_file(c->public_key), false);
	/* Each telemd is given the key anew. */
	if (pubkey_is_file(c->rollback_signal_key))
		grant_directory_of(
		    &grants, pubkey_file(c->rollback_signal_key), false);
	for (i = 0; i < nitems(files); i++)
		grant_directory_of(&grants, files[i], false);
	r = sandbox_enter(PROC_AGENTD, &grants);
	if (r < 0)
		fatal("cannot close the sandbox: %s", strerror(-r));
	for (i = 1; i < grants.dir_count; i++)
		fd_close(&grants.dirs[i].fd);
	if (sandbox_landlock_abi() == 0)
		log_warn("this kernel has no Landlock: files are guarded by "
			 "accounts and seccomp alone");
}

void
startup_close(struct agent *agent)
{
	notify_free(agent->notify);
	fd_close(&agent->state_dir);
	fd_close(&agent->spool_dir);
	fd_close(&agent->cache_dir);
	fd_close(&agent->registry_dir);
	fd_close(&agent->keys);
	fd_close(&agent->stats);
	fd_close(&agent->deadline_timer);
}
