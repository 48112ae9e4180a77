/* SPDX-License-Identifier: ISC */
/*
 * The secrets that agentd handed to this process, in memory only, wiped when
 * they are replaced or the process ends.
 */
#ifndef FETCHD_SECRETS_H
#define FETCHD_SECRETS_H

#include <stddef.h>

#include "common/cleanup.h"
#include "common/msg.h"

struct secrets {
	struct {
		char *text; /* NUL-terminated; NULL: not given */
		size_t len;
	} item[SECRET_MAX];
};

/*
 * Handle a SECRET message: tokens, and TLS material as PEM.  Logs and
 * returns 0 with the old one kept if the content cannot be used; -EINVAL if
 * the message breaks the rules.
 */
int secrets_take(struct secrets *s, struct imsg *m) _must_check_;

/* The text of a secret or NULL. */
const char *secrets_text(const struct secrets *s, enum secret_kind kind);

void secrets_wipe(struct secrets *s);

#endif
