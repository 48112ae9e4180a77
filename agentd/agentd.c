/* SPDX-License-Identifier: ISC */
/*
 * agentd: the supervisor.  Start-up, signals, timers, and the way down.
 */
#include <event2/event.h>
#include <event2/thread.h>
#include <signal.h>
#include <string.h>
#include <sys/timerfd.h>

#include "aegis_config.h"
#include "agentd/agent.h"
#include "agentd/control.h"
#include "agentd/events.h"
#include "agentd/handover.h"
#include "agentd/feed.h"
#include "agentd/logsink.h"
#include "agentd/peer_bpf.h"
#include "agentd/peer_links.h"
#include "agentd/peer_verify.h"
#include "agentd/rings.h"
#include "agentd/spawn.h"
#include "agentd/startup.h"
#include "common/log.h"
#include "common/notify.h"

/* CONTRACT 4: out within 5 s; what is not by then is closed by the exit. */
#define STOP_LIMIT_SEC 4

static void
handle_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct agent *agent = arg;
	uint64_t count;

	agent->armed_boot_ns = 0; /* it has fired */
	peer_verify_check_keys(agent);
	if (read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count))
		fleet_tick(&agent->fleet, moment_now());
	agent_act(agent);
}

/* Whoever renews a token writes it into its file. */
static void
renew_tokens(struct agent *agent)
{
	secrets_renew(proc_channel(agent, PROC_VAULT),
	    agent->config.vault_token_file, &agent->vault_token_mark);
	secrets_renew(proc_channel(agent, PROC_REGISTRY),
	    agent->config.registry_token_file, &agent->registry_token_mark);
}

static void
handle_sample(evutil_socket_t fd, short what, void *arg)
{
	struct agent *agent = arg;

	links_check(agent);
	filters_retry(agent);
	peer_bpf_sample(agent);
	renew_tokens(agent);
	/* Else when the last sample is in. */
	if (proc_channel(agent, PROC_BPF) == NULL)
		agent->snapshot_dirty = true;
	agent_act(agent);
}

static void
report_status(struct agent *agent)
{
	(void)notify_status(agent->notify, "%u programs loaded, %s",
	    fleet_loaded_count(&agent->fleet),
	    agent->observed.polled && agent->observed.poll.result < POLL_FAILED
		? "registry answers"
		: "registry does not answer");
}

static void
handle_heartbeat(evutil_socket_t fd, short what, void *arg)
{
	struct agent *agent = arg;

	events_heartbeat(agent);
	report_status(agent);
	/* Ages and health change without anything happening. */
	agent->snapshot_dirty = true;
	agent->state_dirty |= agent->state_failing;
	agent_act(agent);
}

static void
handle_watchdog(evutil_socket_t fd, short what, void *arg)
{
	struct agent *agent = arg;

	(void)notify_watchdog(agent->notify);
}

static void
handle_publish(evutil_socket_t fd, short what, void *arg)
{
	agent_publish(arg);
}

static void
handle_unloaded(uint64_t handle, void *ctx)
{
	struct agent *agent = ctx;

	if ((handle & LINKS_COOKIE) != 0)
		links_closed(agent, handle);
	else if (!filters_wait(agent, handle))
		agent_unloaded(agent, handle);
	agent_act(agent);
}

void
agent_unloaded(struct agent *agent, uint64_t handle)
{
	struct artifact *a = fleet_find(&agent->fleet, handle);

	/* Not before: while it was attached it wrote events. */
	rings_let_go(agent, handle);
	if (a != NULL)
		fleet_unloaded(&agent->fleet, a, moment_now());
}

void
agent_stopped(struct agent *agent)
{
	if (agent->stopped)
		return;
	agent->stopped = true;
	(void)event_base_loopexit(agent->base, NULL);
}

static void
handle_stop_limit(evutil_socket_t fd, short what, void *arg)
{
	struct agent *agent = arg;

	if (agent->handing_over) {
		/* What is half done is not handed over, and goes. */
		handover_finish(agent);
		return;
	}
	log_warn("shutdown takes too long: %zu events are not accepted, the "
		 "rest is closed with the process",
	    events_waiting(agent->events));
	agent_stopped(agent);
}

void
agent_stop(struct agent *agent)
{
	static const struct timeval limit = { .tv_sec = STOP_LIMIT_SEC };

	if (agent->stopping)
		return;
	agent->handing_over = false;
	agent->stopping = true;
	(void)notify_stopping(agent->notify, "detaching programs");
	log_info("shutting down: %u programs are detached",
	    fleet_loaded_count(&agent->fleet));
	(void)event_add(agent->stop_event, &limit);
	fleet_stop(&agent->fleet, moment_now());
	agent_act(agent);
}

static void
handle_signal(evutil_socket_t signo, short what, void *arg)
{
	struct agent *agent = arg;
	char text[1024];

	if (signo == SIGHUP) {
		if (agent_reload(agent, text, sizeof(text)) < 0)
			log_error("reload: %s", text);
		else
			log_info("reload: %s", text);
		agent_act(agent);
		return;
	}
	log_info("received SIG%s", sigabbrev_np((int)signo));
	if (signo == SIGUSR1) {
		handover_begin(agent);
		agent_act(agent);
		return;
	}
	agent_stop(agent);
}

static void
handle_started(const struct msg_spawn_started *started, void *ctx)
{
	struct agent *agent = ctx;

	proc_handle_started(agent, started);
	agent_act(agent);
}

static void
handle_exited(const struct msg_spawn_exited *exited, void *ctx)
{
	struct agent *agent = ctx;

	proc_handle_exited(agent, exited);
	agent_act(agent);
}

/* Without a spawner no worker can be replaced: the init system starts anew. */
static void
handle_lost(const char *text, void *ctx)
{
	struct agent *agent = ctx;

	if (!agent->stopping)
		log_line(LOG_LEVEL_ERROR, NULL, text,
		    "the spawner is gone: agentd stops, and its programs with "
		    "it, to be started anew");
	agent->exit_status = 1;
	agent_stop(agent);
}

static const struct spawn_handlers spawn_handlers = {
	.started = handle_started,
	.exited = handle_exited,
	.lost = handle_lost,
};

static struct event *
new_timer(struct agent *agent, event_callback_fn callback, short flags)
{
	struct event *ev = event_new(agent->base, -1, flags, callback, agent);

	if (ev == NULL)
		fatal("out of memory");
	return ev;
}

static void
arm_period(struct event *ev, uint64_t usec)
{
	struct timeval tv = {
		.tv_sec = (time_t)(usec / 1000000),
		.tv_usec = (suseconds_t)(usec % 1000000),
	};

	if (event_add(ev, &tv) == -1)
		fatal("out of memory");
}

void
agent_arm_timers(struct agent *agent)
{
	arm_period(agent->sample_event,
	    agent->config.rollback_check_interval_sec * UINT64_C(1000000));
	arm_period(agent->heartbeat_event,
	    agent->config.heartbeat_sec * UINT64_C(1000000));
}

static void
make_events(struct agent *agent)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };
	struct event *deadline;
	size_t i;

	agent->deadline_timer =
	    timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (agent->deadline_timer == -1)
		fatal("timerfd_create: %s", strerror(errno));
	deadline = event_new(agent->base, agent->deadline_timer,
	    EV_READ | EV_PERSIST, handle_deadline, agent);
	if (deadline == NULL || event_add(deadline, NULL) == -1)
		fatal("out of memory");
	agent->deadline_event = deadline;
	agent->sample_event = new_timer(agent, handle_sample, EV_PERSIST);
	agent->heartbeat_event = new_timer(agent, handle_heartbeat, EV_PERSIST);
	agent->watchdog_event = new_timer(agent, handle_watchdog, EV_PERSIST);
	agent->publish_event = new_timer(agent, handle_publish, 0);
	agent->stop_event = new_timer(agent, handle_stop_limit, 0);
	for (i = 0; i < nitems(signals); i++) {
		agent->signals[i] =
		    evsignal_new(agent->base, signals[i], handle_signal, agent);
		if (agent->signals[i] == NULL ||
		    event_add(agent->signals[i], NULL) == -1)
			fatal("out of memory");
	}
	(void)signal(SIGPIPE, SIG_IGN);
}

/* A watchdog of the service manager is fed twice in its period. */
static void
start_watchdog(struct agent *agent)
{
	int64_t ns = notify_watchdog_ns(agent->notify);

	if (ns > 0)
		arm_period(agent->watchdog_event, (uint64_t)ns / 2000);
}

static void
release(struct agent *agent)
{
	struct event *const events[] = { agent->deadline_event,
		agent->sample_event, agent->heartbeat_event,
		agent->watchdog_event, agent->publish_event, agent->stop_event,
		agent->signals[0], agent->signals[1], agent->signals[2],
		agent->signals[3] };
	struct artifact *a;
	size_t i;
	int r;

	TAILQ_FOREACH (a, &agent->fleet.artifacts, entry) {
		custody_free(a->custody, agent->closer);
		a->custody = NULL;
	}
	/* Joins the thread: what it was given is closed when this returns. */
	closer_free(agent->closer);
	filters_free(agent);
	r = state_save(agent->state_dir, &agent->state);
	if (r < 0)
		log_error("cannot write the state to %s: %s; what happened "
			  "since it was written last is forgotten",
		    agent->config.state_dir, strerror(-r));
	fleet_fini(&agent->fleet);
	events_free(agent->events);
	feed_free(agent->feed);
	state_free(&agent->state);
	for (i = 0; i < nitems(events); i++)
		event_free(events[i]);
	proc_free(agent);
	logsink_free(agent->logsink);
	event_base_free(agent->base);
	startup_close(agent);
	config_wipe(&agent->config);
}

static int
run(struct agent *agent)
{
	char text[AEGIS_TEXT_SIZE];
	struct spawn_options options = {
		.keep_stderr = agent->people || AEGIS_SANITIZED,
	};

	agent->base = event_base_new();
	if (agent->base == NULL)
		fatal("out of memory");
	handover_collect(agent);
	/* First of all: the other half must not inherit what comes now. */
	if (spawn_fork(&agent->spawn, agent->base, &options, &spawn_handlers,
		agent, text, sizeof(text)) < 0)
		fatal("%s", text);
	if (logsink_open(&agent->logsink, agent->base,
		agent->people ? STDERR_FILENO : STDOUT_FILENO) < 0)
		fatal("out of memory");
	startup_open(agent);
	make_events(agent);
	agent->events = events_new();
	agent->feed = feed_new();
	if (closer_new(&agent->closer, agent->base, handle_unloaded, agent) < 0)
		fatal("cannot start the closer thread");
	closer_set_undo(agent->closer, filters_detach);
	handover_take_up(agent);
	fleet_recall_rollbacks(&agent->fleet);
	startup_close_sandbox(agent);
	proc_init(agent);
	proc_start_all(agent);
	agent_arm_timers(agent);
	start_watchdog(agent);
	/* What was taken up may be over its time already. */
	fleet_tick(&agent->fleet, moment_now());
	agent_act(agent);
	log_info(
	    "agentd %s started, host %s", AEGIS_VERSION, agent->config.host_id);
	(void)event_base_dispatch(agent->base);
	control_close(agent->control);
	proc_stop_all(agent);
	spawn_close(agent->spawn);
	log_info("agentd stopped");
	release(agent);
	return agent->exit_status;
}

static void
usage(void)
{
	(void)fputs("usage: agentd [-dnv] [-f file]\n", stderr);
	exit(64); /* EX_USAGE */
}

int
main(int argc, char **argv)
{
	static struct agent agent;
	bool check_only = false;
	int opt;

	while ((opt = getopt(argc, argv, "df:nv")) != -1) {
		switch (opt) {
		case 'd':
			agent.people = true;
			break;
		case 'f':
			agent.config_file = optarg;
			break;
		case 'n':
			check_only = true;
			break;
		case 'v':
			agent.verbose = true;
			break;
		default:
			usage();
		}
	}
	if (optind != argc)
		usage();
	if (check_only)
		return startup_check(agent.config_file);
	startup_configure(&agent);
	return run(&agent);
}
