/* SPDX-License-Identifier: ISC */
/*
 * fetchd for Vault: the verification keys come from it.
 */
#include <fcntl.h>
#include <string.h>

#include "agentd/agent.h"
#include "agentd/peer_fetch.h"
#include "agentd/keyage.h"
#include "agentd/peer_verify.h"
#include "agentd/secrets.h"
#include "common/keyset.h"
#include "common/log.h"

static int
handle_keys(struct imsg *m, void *ctx)
{
	struct agent *agent = ctx;
	_cleanup_memfd_map_ struct memfd_map map = { 0 };
	struct keyset set;
	const char *what;
	int r;

	/* verifyd is the one to understand keys; here only their number. */
	r = memfd_map(m->fd, KEYSET_MAX, &map);
	if (r == 0)
		r = keyset_check(map.data, map.len, &set, &what);
	if (r < 0)
		return r;
	fd_close(&agent->keys);
	agent->keys = imsg_take_fd(m);
	agent->keys_are_set = true;
	agent->keys_confirmed_boot_ns = clock_boot_ns();
	peer_verify_check_keys(agent);
	agent->observed.keys_known = true;
	log_info("vault: %u verification keys", set.header->key_count);
	peer_verify_send_keys(agent);
	return 0;
}

static int
handle_state(struct imsg *m, void *ctx)
{
	const struct msg_vault_state *state = msg_get_VAULT_STATE(m);
	struct agent *agent = ctx;
	struct observed *seen = &agent->observed;

	if (!MSG_TEXT_OK(state->error))
		return -EINVAL;
	if (!state->ok &&
	    (!seen->vault_known || seen->vault.ok ||
		strcmp(seen->vault.error, state->error) != 0))
		log_line(LOG_LEVEL_WARN, NULL, state->error,
		    "Vault does not give the verification key; keys known so "
		    "far stay in use");
	else if (state->ok && seen->vault_known && !seen->vault.ok)
		log_info("Vault answers again");
	if (state->ok)
		agent->keys_confirmed_boot_ns = clock_boot_ns();
	peer_verify_check_keys(agent);
	seen->vault = *state;
	seen->vault_known = true;
	agent->snapshot_dirty = true;
	return 0;
}

static int
configure(struct agent *agent, struct imsg_channel *ch)
{
	const struct config *c = &agent->config;
	struct msg_vault_config config = {
		.refresh_sec = keyage_refresh_sec(c->vault_key_max_age_sec),
	};
	int r;

	if ((r = str_copy(config.url, sizeof(config.url), c->vault_url)) < 0 ||
	    (r = str_copy(config.key_path, sizeof(config.key_path),
		 c->vault_key_path)) < 0 ||
	    (r = str_copy(config.vault_namespace,
		 sizeof(config.vault_namespace), c->vault_namespace)) < 0 ||
	    (r = msg_send_VAULT_CONFIG(ch, 0, &config)) < 0 ||
	    (r = secrets_send_file(ch, SECRET_CA, c->vault_ca)) < 0)
		return r;
	(void)secrets_changed(c->vault_token_file, &agent->vault_token_mark);
	if (c->vault_token_file[0] != '\0')
		return secrets_send_file(ch, SECRET_TOKEN, c->vault_token_file);
	return secrets_send_text(ch, SECRET_TOKEN, c->vault_token);
}

void
peer_vault_renew_tls(struct agent *agent)
{
	struct imsg_channel *ch = proc_channel(agent, PROC_VAULT);

	if (ch != NULL &&
	    secrets_send_file(ch, SECRET_CA, agent->config.vault_ca) ==
		-ENOBUFS)
		proc_kill(agent, PROC_VAULT, "does not read its channel");
}

static const imsg_handler handlers[MSG_TYPE_MAX] = {
	[MSG_VAULT_KEYS] = handle_keys,
	[MSG_VAULT_STATE] = handle_state,
};

const struct peer peer_vault = {
	.handlers = handlers,
	.configure = configure,
};
