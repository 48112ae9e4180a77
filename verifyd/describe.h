/* SPDX-License-Identifier: ISC */
/*
 * What is in an artifact, for aegisctl verify, inspect and pack: as JSON, or
 * as text for people.  The running agent never asks for it.
 */
#ifndef VERIFYD_DESCRIBE_H
#define VERIFYD_DESCRIBE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/msg.h"
#include "verifyd/keyring.h"
#include "verifyd/problems.h"

struct describe_input {
	const struct keyring *keys;
	const struct msg_verify_config *config;
	const struct msg_verify_inspect *want; /* strings checked */
	const void *data;                      /* artifact.tar.zst */
	size_t len;
};

struct describe_output {
	enum work_result result;
	char key_id[32];
	int fd; /* owned: the description, sealed; -1 without */
	struct msg_verify_description names;
	struct problems problems;
};

/*
 * With a signature wanted it is checked first, and bytes that it does not
 * hold for are not looked into.  Fills OUT whatever happens; with problems
 * of the program itself there is a description all the same.
 */
void describe_artifact(
    const struct describe_input *in, struct describe_output *out);

void describe_output_release(struct describe_output *out);

#define _cleanup_describe_output_ _cleanup_(describe_output_release)

#endif
