/* SPDX-License-Identifier: ISC */
/*
 * fetchd for the registry: lists and downloads come from it.
 */
#include <string.h>

#include "agentd/agent.h"
#include "agentd/peer_fetch.h"
#include "agentd/secrets.h"
#include "common/log.h"

static int
handle_list(struct imsg *m, void *ctx)
{
	const struct msg_fetch_list *msg = msg_get_FETCH_LIST(m);
	struct agent *agent = ctx;
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	struct artlist list;
	const char *what;
	int r;

	r = memfd_map(m->fd, ARTLIST_MAX, &map);
	if (r < 0)
		return r;
	r = artlist_check(map.data, map.len, &list, &what);
	if (r < 0) {
		log_error("registry: list records: %s", what);
		return r;
	}
	log_debug("registry: %u artifacts listed, %u skipped",
	    list.header->entry_count, msg->skipped);
	fleet_apply_list(&agent->fleet, &list, moment_now());
	agent->snapshot_dirty = true;
	return 0;
}

static void
log_poll(const struct agent *agent, const struct msg_fetch_polled *polled)
{
	const struct msg_fetch_polled *last = &agent->observed.poll;
	bool failed = polled->result >= POLL_FAILED;
	bool failed_before =
	    agent->observed.polled && last->result >= POLL_FAILED;

	/* Once when it begins, once when it ends, not every poll between. */
	if (failed &&
	    (!failed_before || strcmp(polled->error, last->error) != 0))
		log_line(LOG_LEVEL_WARN, NULL, polled->error,
		    "registry poll failed; programs keep running%s",
		    polled->result == POLL_CACHED
			? " and the cached list is used"
			: "");
	else if (!failed && failed_before)
		log_info("registry answers again after %u failed polls",
		    last->failures);
}

static int
handle_polled(struct imsg *m, void *ctx)
{
	const struct msg_fetch_polled *polled = msg_get_FETCH_POLLED(m);
	struct agent *agent = ctx;
	struct observed *seen = &agent->observed;

	if (polled->result >= POLL_RESULT_MAX || !MSG_TEXT_OK(polled->error))
		return -EINVAL;
	log_poll(agent, polled);
	seen->polls[polled->result]++;
	if (polled->result == POLL_CHANGED ||
	    polled->result == POLL_NOT_MODIFIED) {
		seen->last_good_poll_wall_ns = clock_wall_ns();
		seen->from_cache = false;
	} else if (polled->result == POLL_CACHED) {
		seen->from_cache = true;
	}
	if (polled->result == POLL_NOT_MODIFIED)
		fleet_list_unchanged(&agent->fleet, moment_now());
	seen->poll = *polled;
	seen->polled = true;
	agent->snapshot_dirty = true;
	return 0;
}

static int
handle_done(struct imsg *m, void *ctx)
{
	const struct msg_fetch_done *done = msg_get_FETCH_DONE(m);
	struct agent *agent = ctx;
	struct artifact *a = fleet_find(&agent->fleet, m->id);
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	int r;

	if (done->result > WORK_REFUSED || !MSG_TEXT_OK(done->error) ||
	    (done->result == WORK_OK) != (m->fd >= 0))
		return -EINVAL;
	/* It went away meanwhile, or nobody asked for it. */
	if (a == NULL || a->status != STATUS_DOWNLOADING || !a->working)
		return 0;
	if (done->result == WORK_OK) {
		/* Here and not at verifyd, so that who sent it answers for it:
		 * verifyd would end over it in fetchd's stead. */
		r = memfd_map(m->fd, AEGIS_ARTIFACT_MAX, &map);
		if (r < 0)
			return r;
		fd_close(&a->custody->bytes);
		a->custody->bytes = imsg_take_fd(m);
	}
	fleet_fetched(&agent->fleet, a, (enum work_result)done->result,
	    done->error, moment_now());
	return 0;
}

static int
send_tls(const struct config *c, struct imsg_channel *ch)
{
	int r;

	if ((r = secrets_send_file(ch, SECRET_CA, c->registry_ca)) < 0 ||
	    (r = secrets_send_file(ch, SECRET_CERT, c->registry_cert)) < 0)
		return r;
	return secrets_send_file(ch, SECRET_KEY, c->registry_key);
}

void
peer_registry_renew_tls(struct agent *agent)
{
	struct imsg_channel *ch = proc_channel(agent, PROC_REGISTRY);

	/* Whoever starts reads them anyway; what fails is logged. */
	if (ch != NULL && send_tls(&agent->config, ch) == -ENOBUFS)
		proc_kill(agent, PROC_REGISTRY, "does not read its channel");
}

static int
configure(struct agent *agent, struct imsg_channel *ch)
{
	const struct config *c = &agent->config;
	struct msg_fetch_config config = {
		.poll_interval_sec = c->poll_interval_sec,
		.is_file = agent->registry_dir >= 0,
		.cache_max_bytes = c->cache_max_mb << 20,
	};
	struct msg_fetch_dir dir = { 0 };
	int r;

	if ((r = str_copy(config.url, sizeof(config.url), c->registry_url)) <
		0 ||
	    (r = str_copy(config.host_id, sizeof(config.host_id), c->host_id)) <
		0 ||
	    (r = str_copy(config.binary_path, sizeof(config.binary_path),
		 c->registry_binary_path)) < 0 ||
	    (r = msg_send_FETCH_CONFIG(ch, 0, &config)) < 0)
		return r;
	if (agent->registry_dir >= 0) {
		str_copy_cut(dir.path, sizeof(dir.path), c->registry_url);
		r = msg_send_FETCH_ROOT(
		    ch, 0, &dir, fd_copy(agent->registry_dir));
		if (r < 0)
			return r;
	}
	if (agent->cache_dir >= 0) {
		str_copy_cut(dir.path, sizeof(dir.path), c->cache_dir);
		r = msg_send_FETCH_CACHE(
		    ch, 0, &dir, fd_copy(agent->cache_dir));
		if (r < 0)
			return r;
	}
	r = send_tls(c, ch);
	if (r < 0)
		return r;
	(void)secrets_changed(
	    c->registry_token_file, &agent->registry_token_mark);
	return secrets_send_file(ch, SECRET_TOKEN, c->registry_token_file);
}

static void
ready(struct agent *agent)
{
	agent->fleet.can_fetch = true;
	fleet_tick(&agent->fleet, moment_now());
}

static void
died(struct agent *agent, const char *how)
{
	agent->fleet.can_fetch = false;
	fleet_worker_died(&agent->fleet, PROC_REGISTRY, how, moment_now());
}

static const imsg_handler handlers[MSG_TYPE_MAX] = {
	[MSG_FETCH_LIST] = handle_list,
	[MSG_FETCH_POLLED] = handle_polled,
	[MSG_FETCH_DONE] = handle_done,
};

const struct peer peer_registry = {
	.handlers = handlers,
	.configure = configure,
	.ready = ready,
	.died = died,
};
