/* SPDX-License-Identifier: ISC */
/*
 * One line for one fact, at the level where it was decided.
 *
 * In agentd a line goes to standard output as a JSON object (or, with -d, to
 * standard error for people).  In a worker it becomes a WORKER_LOG message:
 * workers have no standard output, and agentd writes whose line it is.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>

#include "common/cleanup.h"
#include "common/imsg.h"

enum log_level {
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_INFO,
	LOG_LEVEL_WARN,
	LOG_LEVEL_ERROR,
	LOG_LEVEL_MAX
};

/* "debug" "info" "warn" "error"; -EINVAL for any other word. */
int log_level_parse(const char *word, enum log_level *level) _must_check_;
const char *log_level_name(enum log_level level);

/* Lines below LEVEL are dropped from now on. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/* agentd: write to standard output (JSON) or standard error (PEOPLE). */
void log_open_stdout(const char *component, const char *host_id, bool people);

/*
 * agentd: give each line, LEN bytes with its newline, to SINK, and have what
 * waits there written by FLUSH before fatal() exits.  NULL: as before.
 */
typedef void (*log_sink)(const char *line, size_t len, void *ctx);
void log_set_sink(log_sink sink, void (*flush)(void *ctx), void *ctx);

/* A worker: send to agentd.  NULL: back to standard error. */
void log_open_channel(struct imsg_channel *ch);

/* agentd, for a line that a worker sent: the same, with its component. */
void log_write_for(const char *component, enum log_level level,
    const char *artifact_id, const char *error, const char *text);

/*
 * A line of text.  ARTIFACT_ID: which artifact it is about, or NULL.  ERROR:
 * what went wrong, or NULL; it becomes a field of its own.  Text from outside
 * is scrubbed here; secrets must not get here.
 */
void log_line(enum log_level level, const char *artifact_id, const char *error,
    const char *fmt, ...) _printf_(4, 5);

/*
 * agentd: log_line() with a field KEY of many lines of text, LEN bytes at
 * VALUE; NULL: none.
 */
void log_line_with(enum log_level level, const char *artifact_id,
    const char *error, const char *key, const char *value, size_t len,
    const char *fmt, ...) _printf_(7, 8);

#define log_debug(...) log_line(LOG_LEVEL_DEBUG, NULL, NULL, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, NULL, NULL, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, NULL, NULL, __VA_ARGS__)
#define log_error(...) log_line(LOG_LEVEL_ERROR, NULL, NULL, __VA_ARGS__)

/* Start-up only, or an invariant of one's own is broken: log and exit(1). */
void fatal(const char *fmt, ...) _printf_(1, 2) __attribute__((noreturn));

#endif
