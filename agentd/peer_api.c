/* SPDX-License-Identifier: ISC */
/*
 * apid: gets snapshots, and can ask for nothing.
 */
#include <string.h>

#include "agentd/agent.h"
#include "agentd/secrets.h"

static int
handle_state(struct imsg *m, void *ctx)
{
	const struct msg_api_state *state = msg_get_API_STATE(m);
	struct agent *agent = ctx;
	struct observed *seen = &agent->observed;

	if (!MSG_TEXT_OK(state->error))
		return -EINVAL;
	seen->api = *state;
	seen->api_known = true; /* apid has logged it */
	agent->snapshot_dirty = true;
	return 0;
}

static int
configure(struct agent *agent, struct imsg_channel *ch)
{
	const struct config *c = &agent->config;
	struct msg_api_config config = { .port = c->http_port };
	int r;

	if ((r = str_copy(config.address, sizeof(config.address),
		 c->http_address)) < 0 ||
	    (r = msg_send_API_CONFIG(ch, 0, &config)) < 0 ||
	    (r = secrets_send_file(ch, SECRET_TOKEN, c->http_token_file)) < 0 ||
	    (r = secrets_send_file(ch, SECRET_CERT, c->http_cert)) < 0)
		return r;
	return secrets_send_file(ch, SECRET_KEY, c->http_key);
}

static void
ready(struct agent *agent)
{
	agent_publish(agent);
}

static void
died(struct agent *agent, const char *how)
{
	agent->observed.api_known = false;
}

static const imsg_handler handlers[MSG_TYPE_MAX] = {
	[MSG_API_STATE] = handle_state,
};

const struct peer peer_api = {
	.handlers = handlers,
	.configure = configure,
	.ready = ready,
	.died = died,
};
