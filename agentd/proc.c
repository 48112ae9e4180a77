/* SPDX-License-Identifier: ISC */
#include "agentd/proc.h"

#include <event2/event.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "agentd/agent.h"
#include "agentd/backoff.h"
#include "agentd/fdkind.h"
#include "agentd/spawn.h"
#include "common/log.h"

/* From the spawn to READY: libraries load, files are read, no network. */
#define START_LIMIT_SEC 15

#define PING_SEC      5
#define PINGS_MISSED  12 /* a load may keep bpfd for up to a minute */
#define RESTART_FIRST (100 * NSEC_PER_MSEC)
#define END_LIMIT     (5 * NSEC_PER_SEC)
#define RESTART_CAP   (10 * NSEC_PER_SEC)

/* Up for this long: the next death is the first in succession. */
#define STABLE_NS (10 * NSEC_PER_SEC)

static const struct peer *const peers[PROC_MAX] = {
	[PROC_REGISTRY] = &peer_registry,
	[PROC_VAULT] = &peer_vault,
	[PROC_VERIFY] = &peer_verify,
	[PROC_BPF] = &peer_bpf,
	[PROC_API] = &peer_api,
	[PROC_TELEM] = &peer_telem,
};

static void
set_state(struct worker_proc *w, enum worker_state state)
{
	w->state = state;
	w->since_boot_ns = clock_boot_ns();
	w->agent->snapshot_dirty = true;
}

static void
arm(struct worker_proc *w, int64_t ns)
{
	struct timeval tv = {
		.tv_sec = (time_t)(ns / NSEC_PER_SEC),
		.tv_usec = (suseconds_t)(ns % NSEC_PER_SEC / 1000),
	};

	(void)event_add(w->timer, &tv);
}

/*
 * The handlers of a channel get the worker's row; those of a peer get the
 * agent.  This is the step between: common messages are handled here.
 */
static int
handle_pong(struct worker_proc *w, const struct msg_worker_ping *pong)
{
	if (pong->nonce == 0 || pong->nonce > w->ping)
		return -EINVAL; /* that was never asked */
	w->unanswered = 0;
	return 0;
}

static int
handle_ready(struct worker_proc *w, const struct msg_worker_ready *ready)
{
	if (w->state != WORKER_STARTING)
		return -EPROTO;
	if (ready->fingerprint != msg_fingerprint()) {
		log_error("%s is of another build than agentd: restart agentd "
			  "after an upgrade",
		    proc_name(w->role));
		return -EPROTO;
	}
	w->landlock_abi = ready->landlock_abi;
	w->ping = 0;
	w->unanswered = 0;
	set_state(w, WORKER_READY);
	log_debug("%s is ready, pid %d", proc_name(w->role), (int)w->pid);
	arm(w, PING_SEC * NSEC_PER_SEC);
	if (peers[w->role]->ready != NULL)
		peers[w->role]->ready(w->agent);
	return 0;
}

static int
handle_message(struct imsg *m, void *ctx)
{
	struct worker_proc *w = ctx;
	imsg_handler handler;
	int r;

	switch (m->type) {
	case MSG_WORKER_LOG:
		return worker_log_write(
		    &w->log, w->role, msg_get_WORKER_LOG(m), clock_boot_ns());
	case MSG_WORKER_PONG:
		return handle_pong(w, msg_get_WORKER_PONG(m));
	case MSG_WORKER_READY:
		r = handle_ready(w, msg_get_WORKER_READY(m));
		break;
	default:
		/* Before READY a worker has nothing to say but log lines. */
		handler = peers[w->role]->handlers[m->type];
		if (handler == NULL || w->state != WORKER_READY)
			return -EPROTO;
		r = fdkind_check(m);
		if (r == 0)
			r = handler(m, w->agent);
	}
	agent_act(w->agent);
	return r;
}

/* Only bpfd detaches filters: without it, they would be left. */
static bool
is_of_use(const struct worker_proc *w)
{
	return !w->agent->stopping ||
	    (w->role == PROC_BPF && w->agent->filters.count > 0);
}

static void
schedule_restart(struct worker_proc *w)
{
	int64_t up = clock_boot_ns() - w->since_boot_ns;

	if (!is_of_use(w)) {
		set_state(w, WORKER_OFF);
		return;
	}
	w->failures =
	    w->state == WORKER_READY && up > STABLE_NS ? 1 : w->failures + 1;
	set_state(w, WORKER_WAITING);
	arm(w, backoff_ns(w->failures, RESTART_FIRST, RESTART_CAP));
}

/* The channel is gone: whatever the process does now, it is over. */
static void
lost(struct worker_proc *w, const char *how)
{
	struct agent *agent = w->agent;

	imsg_free(w->channel);
	w->channel = NULL;
	(void)event_del(w->timer);
	worker_log_tell(&w->log, w->role);
	str_copy_cut(w->last_exit, sizeof(w->last_exit), how);
	if (!agent->stopping) {
		log_line(LOG_LEVEL_ERROR, NULL, how, "worker %s ended",
		    proc_name(w->role));
		/* What it was may linger, mute, with descriptors of ours. */
		spawn_kill(agent->spawn, w->role, SIGKILL);
		w->restarts++;
	}
	schedule_restart(w);
	if (peers[w->role]->died != NULL)
		peers[w->role]->died(agent, how);
	agent_act(agent);
}

static void
handle_closed(int reason, const char *text, void *ctx)
{
	struct worker_proc *w = ctx;
	char how[AEGIS_TEXT_SIZE];

	if (w->fault[0] != '\0') {
		str_copy_cut(how, sizeof(how), w->fault);
		w->fault[0] = '\0';
	} else if (reason == 0) {
		str_copy_cut(how, sizeof(how), "closed its channel");
	} else {
		w->agent->observed.protocol_violations++;
		(void)snprintf(how, sizeof(how),
		    "broke the protocol and was killed: %.180s", text);
	}
	lost(w, how);
}

static int
configure(struct worker_proc *w)
{
	struct agent *agent = w->agent;
	struct msg_config_end end = {
		.log_level = (uint32_t)log_get_level(),
	};
	int r;

	r = peers[w->role]->configure(agent, w->channel);
	if (r < 0)
		return r;
	r = str_copy(end.host_id, sizeof(end.host_id), agent->config.host_id);
	if (r < 0)
		return r;
	return msg_send_CONFIG_END(w->channel, 0, &end);
}

static void
start(struct worker_proc *w)
{
	static imsg_handler handlers[MSG_TYPE_MAX];
	int sv[2], r;
	size_t i;

	for (i = 1; i < nitems(handlers); i++)
		handlers[i] = handle_message;
	r = imsg_socketpair(sv);
	if (r < 0) {
		log_error(
		    "socketpair for %s: %s", proc_name(w->role), strerror(-r));
		schedule_restart(w);
		return;
	}
	r = imsg_open(&w->channel, w->agent->base, sv[0], PROC_AGENTD, w->role,
	    handlers, handle_closed, w);
	if (r < 0) {
		(void)close(sv[1]);
		schedule_restart(w);
		return;
	}
	set_state(w, WORKER_STARTING);
	w->fault[0] = '\0';
	arm(w, START_LIMIT_SEC * NSEC_PER_SEC);
	r = spawn_start(w->agent->spawn, w->role, sv[1]);
	w->spawned = r == 0;
	if (r == 0)
		r = configure(w);
	if (r < 0)
		proc_kill(w->agent, w->role, strerror(-r));
}

/*
 * Start W now, or as soon as the process before has ended: its channel closes
 * earlier, and much earlier on a machine that is busy.
 */
static void
start_when_free(struct worker_proc *w)
{
	if (!w->spawned) {
		start(w);
		return;
	}
	set_state(w, WORKER_WAITING);
	w->ending = true;
	arm(w, END_LIMIT);
}

/* The spawner says that there is no process any more, or never was. */
static void
ended(struct worker_proc *w)
{
	bool awaited = w->ending;

	w->pid = 0;
	w->spawned = w->ending = false;
	if (awaited && w->state == WORKER_WAITING && is_of_use(w))
		start(w);
}

static void
send_ping(struct worker_proc *w)
{
	struct msg_worker_ping ping = { .nonce = ++w->ping };

	worker_log_tell(&w->log, w->role);
	if (w->unanswered >= PINGS_MISSED) {
		proc_kill(w->agent, w->role, "did not answer for a minute");
		return;
	}
	if (msg_send_WORKER_PING(w->channel, 0, &ping) < 0) {
		proc_kill(w->agent, w->role, "does not read its channel");
		return;
	}
	w->unanswered++;
	arm(w, PING_SEC * NSEC_PER_SEC);
}

static void
handle_timer(evutil_socket_t fd, short what, void *arg)
{
	struct worker_proc *w = arg;

	switch (w->state) {
	case WORKER_WAITING:
		if (w->ending) {
			w->ending = false;
			log_warn("worker %s, pid %d, does not end: killed",
			    proc_name(w->role), (int)w->pid);
			spawn_kill(w->agent->spawn, w->role, SIGKILL);
			arm(w, RESTART_FIRST);
			break;
		}
		start_when_free(w);
		break;
	case WORKER_STARTING:
		proc_kill(w->agent, w->role, "was not ready in time");
		break;
	case WORKER_READY:
		send_ping(w);
		break;
	default:
		break;
	}
	agent_act(w->agent);
}

void
proc_init(struct agent *agent)
{
	struct worker_proc *w;
	int role;

	for (role = 0; role < PROC_MAX; role++) {
		w = &agent->workers[role];
		w->agent = agent;
		w->role = (enum proc_role)role;
		w->state = WORKER_OFF;
		w->since_boot_ns = clock_boot_ns();
		worker_log_init(&w->log, w->since_boot_ns);
		if (peers[role] == NULL)
			continue;
		w->timer = event_new(agent->base, -1, 0, handle_timer, w);
		if (w->timer == NULL)
			fatal("out of memory");
	}
}

static bool
is_wanted(const struct agent *agent, enum proc_role role)
{
	/* CONTRACT 1: with a pinned key Vault is never contacted. */
	return role != PROC_VAULT || agent->config.public_key[0] == '\0';
}

void
proc_start(struct agent *agent, enum proc_role role)
{
	struct worker_proc *w = &agent->workers[role];

	/* One that ends for a restart is followed when it has ended. */
	if ((w->state != WORKER_OFF && w->state != WORKER_WAITING) ||
	    w->ending || agent->stopping || !is_wanted(agent, role))
		return;
	(void)event_del(w->timer);
	start_when_free(w);
}

void
proc_start_all(struct agent *agent)
{
	int role;

	for (role = PROC_FIRST_WORKER; role <= PROC_LAST_WORKER; role++)
		proc_start(agent, (enum proc_role)role);
}

void
proc_kill(struct agent *agent, enum proc_role role, const char *fault)
{
	struct worker_proc *w = &agent->workers[role];
	char how[AEGIS_TEXT_SIZE];

	if (w->channel == NULL)
		return;
	(void)snprintf(how, sizeof(how), "%s %.200s", proc_name(role), fault);
	lost(w, how);
}

void
proc_restart(struct agent *agent, enum proc_role role)
{
	struct worker_proc *w = &agent->workers[role];

	if (!is_wanted(agent, role)) {
		imsg_free(w->channel);
		w->channel = NULL;
		(void)event_del(w->timer);
		w->ending = false;
		set_state(w, WORKER_OFF);
		return;
	}
	if (w->channel == NULL) {
		proc_start(agent, role);
		return;
	}
	imsg_free(w->channel);
	w->channel = NULL;
	set_state(w, WORKER_WAITING);
	/* The new one starts when the spawner says that the old one ended. */
	w->ending = w->spawned;
	arm(w, w->ending ? END_LIMIT : RESTART_FIRST);
	if (peers[role]->died != NULL)
		peers[role]->died(agent, "restarted with a new configuration");
}

void
proc_free(struct agent *agent)
{
	int role;

	for (role = 0; role < PROC_MAX; role++)
		if (agent->workers[role].timer != NULL)
			event_free(agent->workers[role].timer);
}

void
proc_set_log_level(struct agent *agent, enum log_level level)
{
	const struct msg_log_level msg = { .level = (uint32_t)level };
	struct imsg_channel *ch;
	int role;

	log_set_level(level);
	for (role = PROC_FIRST_WORKER; role <= PROC_LAST_WORKER; role++) {
		ch = proc_channel(agent, (enum proc_role)role);
		/* One that is not ready learns it at the end of its start. */
		if (ch != NULL && msg_send_LOG_LEVEL(ch, 0, &msg) < 0)
			proc_kill(agent, (enum proc_role)role,
			    "does not read its channel");
	}
}

void
proc_stop_all(struct agent *agent)
{
	struct worker_proc *w;
	int role;

	for (role = PROC_FIRST_WORKER; role <= PROC_LAST_WORKER; role++) {
		w = &agent->workers[role];
		(void)event_del(w->timer);
		imsg_free(w->channel);
		w->channel = NULL;
		set_state(w, WORKER_OFF);
	}
}

struct imsg_channel *
proc_channel(struct agent *agent, enum proc_role role)
{
	struct worker_proc *w = &agent->workers[role];

	return w->state == WORKER_READY ? w->channel : NULL;
}

uint32_t
proc_restarts(const struct agent *agent)
{
	uint32_t n = 0;
	int role;

	for (role = PROC_FIRST_WORKER; role <= PROC_LAST_WORKER; role++)
		n += agent->workers[role].restarts;
	return n;
}

void
proc_handle_started(
    struct agent *agent, const struct msg_spawn_started *started)
{
	struct worker_proc *w = &agent->workers[started->role];

	if (started->pid > 0) {
		w->pid = started->pid;
		return;
	}
	/* The channel's other end is closed, too: that ends in lost(). */
	str_copy_cut(w->fault, sizeof(w->fault), started->text);
	ended(w);
}

static void
describe_exit(int status, char *out, size_t size)
{
	if (WIFSIGNALED(status))
		(void)snprintf(out, size, "killed by signal %d (%s)%s",
		    WTERMSIG(status), strsignal(WTERMSIG(status)),
		    WTERMSIG(status) == SIGSYS
			? ": it made a system call that its sandbox forbids"
			: "");
	else
		(void)snprintf(
		    out, size, "exited with status %d", WEXITSTATUS(status));
}

void
proc_handle_exited(struct agent *agent, const struct msg_spawn_exited *exited)
{
	struct worker_proc *w = &agent->workers[exited->role];
	char how[AEGIS_TEXT_SIZE];

	describe_exit(exited->wait_status, how, sizeof(how));
	str_copy_cut(w->last_exit, sizeof(w->last_exit), how);
	agent->snapshot_dirty = true;
	if (!agent->stopping)
		log_info("worker %s, pid %d: %s", proc_name(w->role),
		    (int)exited->pid, how);
	ended(w);
}
