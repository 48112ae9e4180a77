/* SPDX-License-Identifier: ISC */
/*
 * verifyd: bytes go to it, an object and a plan come back, or a verdict.
 */
#include "agentd/peer_verify.h"

#include <string.h>

#include "agentd/agent.h"
#include "agentd/keyage.h"
#include "agentd/peer_probe.h"
#include "common/log.h"

int64_t
peer_verify_keys_end(const struct agent *agent)
{
	if (agent->keys < 0 || agent->keys_expired)
		return INT64_MAX;
	return keyage_end_boot_ns(agent->keys_are_set,
	    agent->keys_confirmed_boot_ns, agent->config.vault_key_max_age_sec);
}

void
peer_verify_check_keys(struct agent *agent)
{
	bool expired = agent->keys >= 0 &&
	    keyage_end_boot_ns(agent->keys_are_set,
		agent->keys_confirmed_boot_ns,
		agent->config.vault_key_max_age_sec) <= clock_boot_ns();

	if (expired == agent->keys_expired)
		return;
	agent->keys_expired = expired;
	agent->snapshot_dirty = true;
	if (expired) {
		log_warn("vault: the keys are no longer used: not confirmed "
			 "for AGENT_VAULT_KEY_MAX_AGE_SEC (%u s); nothing new "
			 "is loaded, what runs stays",
		    agent->config.vault_key_max_age_sec);
		agent->fleet.can_verify = false;
	} else {
		log_info("vault: the keys are confirmed and used again");
		agent->fleet.can_verify =
		    proc_channel(agent, PROC_VERIFY) != NULL;
		fleet_tick(&agent->fleet, moment_now());
	}
}

void
peer_verify_send_keys(struct agent *agent)
{
	struct imsg_channel *ch = proc_channel(agent, PROC_VERIFY);
	struct msg_verify_keys keys = { .is_keyset = agent->keys_are_set };

	peer_verify_check_keys(agent);
	if (ch == NULL || agent->keys < 0)
		return;
	if (msg_send_VERIFY_KEYS(ch, 0, &keys, fd_copy(agent->keys)) < 0) {
		proc_kill(agent, PROC_VERIFY, "does not read its channel");
		return;
	}
	/* verifyd may have them; it is given nothing to check with them. */
	agent->fleet.can_verify = !agent->keys_expired;
	fleet_tick(&agent->fleet, moment_now());
}

static int
send_artifact(struct imsg_channel *ch, const struct artifact *a)
{
	const struct artlist_entry *e = &a->listing;
	struct msg_verify_artifact msg = {
		.has_sha256 = e->has_sha256,
		.has_parameters = e->params_len > 0,
	};
	const struct msg_verify_parameters parameters = { 0 };
	int fd, r;

	if (e->params_len > 0) {
		fd = memfd_from_bytes("parameters", a->params, e->params_len);
		if (fd < 0)
			return fd;
		r = msg_send_VERIFY_PARAMETERS(ch, a->handle, &parameters, fd);
		if (r < 0)
			return r;
	}
	memcpy(msg.artifact_id, e->artifact_id, sizeof(msg.artifact_id));
	memcpy(msg.name, e->name, sizeof(msg.name));
	memcpy(msg.version, e->version, sizeof(msg.version));
	memcpy(msg.architecture, e->architecture, sizeof(msg.architecture));
	memcpy(
	    msg.kernel_version, e->kernel_version, sizeof(msg.kernel_version));
	memcpy(msg.sha256, e->sha256, sizeof(msg.sha256));
	memcpy(msg.signature, e->signature, sizeof(msg.signature));
	return msg_send_VERIFY_ARTIFACT(
	    ch, a->handle, &msg, fd_copy(a->custody->bytes));
}

void
peer_verify_start(struct agent *agent, struct artifact *a)
{
	struct imsg_channel *ch = proc_channel(agent, PROC_VERIFY);

	if (ch == NULL || send_artifact(ch, a) < 0)
		proc_kill(agent, PROC_VERIFY, "does not read its channel");
}

/* The artifact that verifyd is at; answers for others are late or forged. */
static struct artifact *
being_verified(struct agent *agent, const struct imsg *m)
{
	struct artifact *a = fleet_find(&agent->fleet, m->id);

	return a != NULL && a->status == STATUS_VERIFYING && a->working ? a
									: NULL;
}

static int
handle_object(struct imsg *m, void *ctx)
{
	struct artifact *a = being_verified(ctx, m);
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	int r;

	if (a == NULL)
		return 0;
	/* Seals and size are checked before it goes on to bpfd. */
	r = memfd_map(m->fd, AEGIS_EXTRACTED_MAX, &map);
	if (r < 0)
		return r;
	fd_close(&a->custody->object);
	a->custody->object = imsg_take_fd(m);
	return 0;
}

static int
handle_plan(struct imsg *m, void *ctx)
{
	struct artifact *a = being_verified(ctx, m);
	const char *what;
	int r;

	if (a == NULL)
		return 0;
	r = custody_set_plan(a->custody, imsg_take_fd(m), &what);
	if (r < 0)
		log_line(LOG_LEVEL_ERROR, a->listing.artifact_id, what,
		    "verifyd sent a load plan that is none");
	return r;
}

static int
handle_effective(struct imsg *m, void *ctx)
{
	struct artifact *a = being_verified(ctx, m);
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	int r;

	if (a == NULL)
		return 0;
	r = memfd_map(m->fd, AEGIS_PARAMETERS_MAX, &map);
	if (r < 0)
		return r;
	fd_close(&a->custody->effective);
	a->custody->effective = imsg_take_fd(m);
	return 0;
}

static void
ask_for_key(struct agent *agent, uint32_t version)
{
	struct imsg_channel *ch = proc_channel(agent, PROC_VAULT);
	struct msg_vault_refresh refresh = { .version = version };

	if (msg_send_VAULT_REFRESH(ch, 0, &refresh) < 0)
		log_debug(
		    "vault: not running, key version %u unknown", version);
}

static int
handle_done(struct imsg *m, void *ctx)
{
	const struct msg_verify_done *done = msg_get_VERIFY_DONE(m);
	struct agent *agent = ctx;
	struct artifact *a = being_verified(agent, m);
	struct verified v = { 0 };
	const struct loadplan_header *h;

	if ((done->result > WORK_REFUSED && done->result != WORK_MISMATCH) ||
	    !str_is_terminated(done->error, sizeof(done->error)) ||
	    !MSG_TEXT_OK(done->key_id))
		return -EINVAL;
	if (a == NULL)
		return 0;
	if (done->result == WORK_OK) {
		h = a->custody->loadplan.header;
		/* Name and version are what the entry said, or a lie. */
		if (h == NULL || a->custody->object < 0 ||
		    strcmp(h->name, a->listing.name) != 0 ||
		    strcmp(h->artifact_version, a->listing.version) != 0)
			return -EBADMSG;
		v.max_ttl_sec = h->max_ttl_sec;
		v.not_after_wall_ns = h->not_after_wall_ns;
		v.sequence = h->sequence;
		v.replaces = h->replaces;
		v.limits = h->limits;
		fd_close(&a->custody->bytes);
		log_line(LOG_LEVEL_DEBUG, a->listing.artifact_id, NULL,
		    "signature holds: %s", done->key_id);
	} else if (done->key_version != 0) {
		ask_for_key(agent, done->key_version);
	}
	fleet_verified(&agent->fleet, a, (enum work_result)done->result,
	    done->error, &v, moment_now());
	return 0;
}

static int
configure(struct agent *agent, struct imsg_channel *ch)
{
	struct msg_verify_config config = {
		.parameters_policy = (uint32_t)agent->config.parameters,
		.cpu_limit_sec = 20,
	};
	int r;

	r = str_copy(config.architecture, sizeof(config.architecture),
	    agent->architecture);
	if (r == 0)
		r = str_copy(config.kernel_release,
		    sizeof(config.kernel_release), agent->kernel_release);
	return r < 0 ? r : msg_send_VERIFY_CONFIG(ch, 0, &config);
}

static void
died(struct agent *agent, const char *how)
{
	agent->fleet.can_verify = false;
	peer_probe_verifyd_died(agent);
	fleet_worker_died(&agent->fleet, PROC_VERIFY, how, moment_now());
}

static const imsg_handler handlers[MSG_TYPE_MAX] = {
	[MSG_VERIFY_OBJECT] = handle_object,
	[MSG_VERIFY_PLAN] = handle_plan,
	[MSG_VERIFY_EFFECTIVE] = handle_effective,
	[MSG_VERIFY_DONE] = handle_done,
	[MSG_VERIFY_SYMBOL_AT] = peer_probe_handle_symbol,
};

const struct peer peer_verify = {
	.handlers = handlers,
	.configure = configure,
	.ready = peer_verify_send_keys,
	.died = died,
};
