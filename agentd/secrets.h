/* SPDX-License-Identifier: ISC */
/*
 * Secrets on their way: read from where the configuration says, sealed into
 * a memfd, given to the one worker that uses it, wiped here.
 */
#ifndef AGENTD_SECRETS_H
#define AGENTD_SECRETS_H

#include <stdbool.h>

#include "common/msg.h"

/* By what a file is known to have changed. */
struct secret_mark {
	bool known;
	uint64_t inode;
	uint64_t size;
	int64_t mtime_ns;
};

/*
 * Send the file PATH as a secret of KIND; "" sends nothing.  A file that
 * cannot be read is logged with its reason and -errno returned: the worker
 * is started again with back-off until it can.
 */
int secrets_send_file(struct imsg_channel *ch, enum secret_kind kind,
    const char *path) _must_check_;

/*
 * Send a public key that the configuration holds as VALUE, in any of its
 * forms ("file:" too), as PEM; "" sends nothing.  Errors as above.
 */
int secrets_send_public_key(struct imsg_channel *ch, enum secret_kind kind,
    const char *value) _must_check_;

/*
 * Has the file PATH changed since MARK was made, which is made anew?  False
 * for the first time, for "", and while there is no such file.
 */
bool secrets_changed(const char *path, struct secret_mark *mark);

/*
 * Send the token in the file PATH again if it has changed, as whoever renews
 * it writes a new one.  CH may be NULL: whoever starts reads it anyway.
 */
void secrets_renew(
    struct imsg_channel *ch, const char *path, struct secret_mark *mark);

/* The same with the text itself. */
int secrets_send_text(struct imsg_channel *ch, enum secret_kind kind,
    const char *text) _must_check_;

#endif
