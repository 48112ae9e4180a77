/* SPDX-License-Identifier: ISC */
/*
 * What a verifyd of our own says of an artifact: its description, and, with
 * parameters, the plan that bpfd would carry out.
 */
#ifndef AEGISCTL_JUDGE_H
#define AEGISCTL_JUDGE_H

#include <stdbool.h>

#include "aegisctl/helper.h"

struct judge {
	struct helper helper;
	/* Borrowed: what to look at. */
	int keys;              /* -1: none, the signature is not checked */
	const char *signature; /* NULL: none */
	bool as_text;
	/* What came. */
	struct msg_verify_description names;
	int description; /* owned, -1: none */
	int object;      /* owned, of judge_plan() */
	int plan;
	int effective;
	bool done;
	enum work_result result;
	char key_id[32];
	char error[AEGIS_ERROR_SIZE];
};

/* Start a verifyd.  -errno after saying why. */
int judge_open(struct judge *j, int keys) _must_check_;

/*
 * Ask about ARTIFACT (a sealed memfd, borrowed).  0: it answered, see
 * RESULT; -errno after saying why not.
 */
int judge_describe(struct judge *j, int artifact) _must_check_;

/*
 * The same for the plan with PARAMETERS (a sealed memfd, borrowed; -1: none)
 * under the names that judge_describe() found; the signature is needed.
 */
int judge_plan(struct judge *j, int artifact, int parameters) _must_check_;

void judge_close(struct judge *j);

#endif
