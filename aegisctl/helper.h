/* SPDX-License-Identifier: ISC */
/*
 * A worker for a command that needs no agent: aegisctl starts the installed
 * one, plays agentd's part on its channel, and ends it.  Foreign bytes are
 * looked at in there alone, as root under the worker's own account, else as
 * the caller, and always behind its sandbox.
 */
#ifndef AEGISCTL_HELPER_H
#define AEGISCTL_HELPER_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/msg.h"

/* An artifact may take 20 s of CPU, a load the verifier's time. */
#define HELPER_TIMEOUT_SEC 60

struct event_base;

struct helper {
	struct event_base *base;
	struct imsg_channel *channel;
	enum proc_role role;
	pid_t pid; /* 0: none */
	imsg_handler handlers[MSG_TYPE_MAX];
	bool ready;
	bool closed;
	char text[AEGIS_TEXT_SIZE]; /* what went wrong, for people */
};

/*
 * Start the worker of ROLE; HANDLERS get CTX.  Configure it, then call
 * helper_configured().  0, or -errno with H->text.
 */
int helper_start(struct helper *h, enum proc_role role,
    const imsg_handler *handlers, void *ctx) _must_check_;

/* CONFIG_END, and wait until it has closed its sandbox. */
int helper_configured(struct helper *h) _must_check_;

/* Handle messages until *DONE is set.  0, or -errno with H->text. */
int helper_wait(struct helper *h, const bool *done) _must_check_;

/* End it; also one that never started (zeroed). */
void helper_stop(struct helper *h);

#endif
