/* SPDX-License-Identifier: ISC */
/*
 * The table behind sandbox.c: one row a process.
 */
#ifndef COMMON_SANDBOX_ROWS_H
#define COMMON_SANDBOX_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/proc.h"

#define SANDBOX_MAX_ARGS 3

/* Argument ARG, masked by MASK, is VALUE. */
struct sandbox_arg {
	unsigned int arg;
	uint64_t mask;
	uint64_t value;
};

/*
 * A system call that a row allows, perhaps only with certain arguments.  A
 * call may stand in several lines; any of them allows it.
 */
struct sandbox_call {
	const char *name; /* as libseccomp knows it */
	int error;        /* 0: allowed; else it fails with this errno and the
			     process lives: for what libraries try and can
			     do without */
	bool ignored;     /* it succeeds, and nothing is done: for what
			     libraries insist on */
	unsigned int arg_count; /* only if so many are as ARGS say */
	struct sandbox_arg args[SANDBOX_MAX_ARGS];
};

/*
 * How a line is written.  Arguments that the kernel takes as int are compared
 * in their lower half only: what lies above is not part of the value.
 */
#define SANDBOX_INT UINT64_C(0xffffffff)
#define CALL(n)                                                                \
	{                                                                      \
		.name = (n)                                                    \
	}
#define CALL_IF(n, a, v) CALL_MASK(n, a, SANDBOX_INT, v)
#define CALL_MASK(n, a, m, v)                                                  \
	{                                                                      \
		.name = (n), .arg_count = 1, .args = { { (a), (m), (v) } }     \
	}
#define CALL_FAILS(n, e)                                                       \
	{                                                                      \
		.name = (n), .error = (e)                                      \
	}
#define CALL_FAILS_IF(n, a, m, v, e)                                           \
	{                                                                      \
		.name = (n), .error = (e), .arg_count = 1, .args = {           \
			{ (a), (m), (v) }                                      \
		}                                                              \
	}
#define CALL_IGNORED_IF(n, a, v, a2, v2)                                       \
	{                                                                      \
		.name = (n), .ignored = true, .arg_count = 2, .args = {        \
			{ (a), SANDBOX_INT, (v) },                             \
			{ (a2), SANDBOX_INT, (v2) }                            \
		}                                                              \
	}
/* TYPE without the flags SOCK_CLOEXEC and SOCK_NONBLOCK. */
#define CALL_SOCKET(family, type, protocol)                                    \
	{                                                                      \
		.name = "socket", .arg_count = 3, .args = {                    \
			{ 0, SANDBOX_INT, (family) },                          \
			{ 1, 0xf, (type) },                                    \
			{ 2, SANDBOX_INT, (protocol) }                         \
		}                                                              \
	}
#define CALL_END                                                               \
	{                                                                      \
		.name = NULL                                                   \
	}

struct sandbox_path {
	const char *path; /* a file or directory; skipped if absent */
	bool writable;
	bool directory_list; /* READ_DIR too */
	bool list_only;      /* nothing but READ_DIR: no file is opened */
	bool pinned; /* hold it open: procfs makes a new inode otherwise, which
			the rule does not know */
};

#define SANDBOX_MAX_SETS 6

struct sandbox_row {
	const char *user;  /* account; NULL: stays root */
	uint64_t caps;     /* bits by CAP_*: permitted, effective, ambient */
	uint64_t bounding; /* what the bounding set keeps */
	uint64_t nofile;   /* RLIMIT_NOFILE */
	uint64_t address_space; /* RLIMIT_AS in bytes; 0: none */
	uint64_t file_size;     /* RLIMIT_FSIZE in bytes, memfds too; 0: none */
	uint64_t nproc;         /* RLIMIT_NPROC: threads of the account */
	/* Shared lists (below), and the row's own; each ends with a NULL
	 * name.  deny: the lists say what kills, the rest is allowed. */
	const struct sandbox_call *sets[SANDBOX_MAX_SETS];
	const struct sandbox_call *calls;
	bool deny;
	const struct sandbox_path *paths; /* ends with a NULL path; NULL: no
					     path is to be had at all */
	bool paths_free; /* Landlock does not bind paths (the spawner) */
	/* Landlock ABI 4.  false: no TCP at all; true: the granted ports
	 * (none granted: any), for connecting also 53, the resolver's. */
	bool tcp_connect;
	bool tcp_bind;
};

/* ---- shared lists, sandbox_calls.c ---- */

/* Calls that every process makes (event loop, memory, imsg, memfd, exit). */
extern const struct sandbox_call sandbox_common_calls[];
/* Memory is never executable: asking for it kills (most rows), or fails. */
extern const struct sandbox_call sandbox_noexec_calls[];
extern const struct sandbox_call sandbox_noexec_soft_calls[];
/* Threads, but no processes. */
extern const struct sandbox_call sandbox_thread_calls[];
/* Open and read files, where Landlock lets it. */
extern const struct sandbox_call sandbox_read_calls[];
/* Make, change and remove files, where Landlock lets it. */
extern const struct sandbox_call sandbox_write_calls[];
/* Sockets of IPv4 and IPv6: clients and the resolver. */
extern const struct sandbox_call sandbox_inet_calls[];
/* What the sanitizers' run time asks for; only with AEGIS_SANITIZED. */
extern const struct sandbox_call sandbox_sanitizer_calls[];

/* ---- the table, sandbox_rows.c ---- */

extern const struct sandbox_row sandbox_rows[PROC_MAX];

#endif
