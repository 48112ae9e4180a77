/* SPDX-License-Identifier: ISC */
/*
 * What the text of one variable must be.  Pure: no file, no environment.
 */
#ifndef AGENTD_CONFIG_CHECK_H
#define AGENTD_CONFIG_CHECK_H

#include <stddef.h>

#include "common/cleanup.h"

enum config_check {
	CHECK_IDENTIFIER,      /* str_is_identifier() */
	CHECK_PATH,            /* absolute, no "..", not "/" */
	CHECK_FILE,            /* the same, or "" */
	CHECK_REGISTRY_URL,    /* http, https, file */
	CHECK_HTTP_URL,        /* http, https */
	CHECK_NATS_URL,        /* nats, tls; a comma list */
	CHECK_BINARY_PATH,     /* "/...{id}..." */
	CHECK_PUBLIC_KEY,      /* PEM, base64, "file:", or "" */
	CHECK_TOKEN,           /* printable, without blanks */
	CHECK_VAULT_PATH,      /* below /v1/ */
	CHECK_VAULT_NAMESPACE, /* or "" */
	CHECK_SUBJECT,         /* a NATS subject without wildcards */
	CHECK_STREAM,          /* a JetStream stream's name, or "" */
	CHECK_ADDRESS          /* IPv4, IPv6, or "" */
};

/*
 * Check VALUE and write its canonical form to OUT of SIZE bytes (URLs without
 * trailing slash, addresses without brackets).  0; -ENAMETOOLONG: does not
 * fit SIZE; -EINVAL: *WHAT says what is wrong and what is allowed (static).
 */
int config_check_value(enum config_check check, const char *value, char *out,
    size_t size, const char **what) _must_check_;

/*
 * True if CHECK is a URL, whose user and password messages must not show.
 */
static inline int
config_check_is_url(enum config_check check)
{
	return check == CHECK_REGISTRY_URL || check == CHECK_HTTP_URL ||
	    check == CHECK_NATS_URL;
}

#endif
