/* SPDX-License-Identifier: ISC */
/*
 * Why an artifact cannot be loaded: what agentd does next, and one text for
 * people that names the thing, the value and what would be right.
 */
#ifndef BPFD_FAILURE_H
#define BPFD_FAILURE_H

#include "common/limits.h"
#include "common/msg.h"

struct failure {
	enum work_result result; /* WORK_OK: none so far */
	uint32_t holder_id;      /* holder.h: whose the hook is; 0: not known */
	char text[AEGIS_ERROR_SIZE];
};

/*
 * Say what went wrong; the first one said stays, for what follows is mostly
 * its consequence.  Returns R, a negative errno, for the caller to return.
 */
int failure_set(struct failure *f, enum work_result result, int r,
    const char *fmt, ...) _printf_(4, 5);

/* Add to the text, after "; ". */
void failure_add(struct failure *f, const char *fmt, ...) _printf_(2, 3);

/*
 * Is it worth trying again?  WORK_TRANSIENT for what time may heal (memory,
 * descriptors, a busy or absent device), WORK_REFUSED for all else.
 */
enum work_result failure_kind(int r);

#endif
