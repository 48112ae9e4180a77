/* SPDX-License-Identifier: ISC */
/*
 * The table behind sandbox.c: one row a process.
 */
#ifndef COMMON_SANDBOX_ROWS_H
#define COMMON_SANDBOX_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/proc.h"

/* A system call that a row allows, perhaps only with certain arguments. */
struct sandbox_call {
	const char *name; /* as libseccomp knows it */
	/* Up to one argument test: argument ARG masked by MASK equals VALUE.
	 * A call may stand in several lines; any of them allows it. */
	bool has_arg;
	unsigned int arg;
	uint64_t mask;
	uint64_t value;
};

struct sandbox_path {
	const char *path; /* a file or directory; skipped if absent */
	bool writable;
	bool directory_list; /* READ_DIR too */
};

struct sandbox_row {
	const char *user;  /* account; NULL: stays root */
	uint64_t caps;     /* bits by CAP_*: permitted, effective, ambient */
	uint64_t bounding; /* what the bounding set keeps */
	uint64_t nofile;   /* RLIMIT_NOFILE */
	uint64_t address_space; /* RLIMIT_AS in bytes; 0: none */
	uint64_t file_size;     /* RLIMIT_FSIZE in bytes */
	uint64_t nproc;         /* RLIMIT_NPROC: threads of the account */
	const struct sandbox_call *calls; /* ends with a NULL name */
	const struct sandbox_path *paths; /* ends with a NULL path */
	bool tcp_connect; /* Landlock ABI 4: granted ports only */
	bool tcp_bind;
};

/* Calls that every process makes (event loop, memory, imsg, memfd, exit). */
extern const struct sandbox_call sandbox_common_calls[];

extern const struct sandbox_row sandbox_rows[PROC_MAX];

#endif
