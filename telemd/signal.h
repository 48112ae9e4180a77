/* SPDX-License-Identifier: ISC */
/*
 * What an orchestrator says: the JSON of a rollback signal, checked.
 */
#ifndef TELEMD_SIGNAL_H
#define TELEMD_SIGNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/cleanup.h"
#include "common/msg.h"

/* The orchestrator's own publication, to all hosts; and, a host's id behind
 * it, what is for that host alone. */
#define SIGNAL_TO_ALL  "actions.rollback.ebpf"
#define SIGNAL_TO_HOST "orchestrator.rollback."

/*
 * True if SUBJECT is one that this host listens to; *TO_ALL says which.  The
 * broker names a subject with each message, whatever was subscribed to: one
 * that is another host's is no word to us, even with a signature that holds.
 */
bool signal_is_ours(
    const char *subject, const char *host_id, bool *to_all) _must_check_;

enum signal_verdict {
	SIGNAL_FOR_US = 0,
	SIGNAL_NOT_FOR_US, /* well-formed, about another host */
	SIGNAL_MALFORMED,
};

/*
 * orchestrator.rollback.{host_id}: {"artifact_id", "reason"?,
 * "request_id"?}.  OUT is filled in for SIGNAL_FOR_US; *WHY (static) says
 * what is wrong with SIGNAL_MALFORMED.
 */
enum signal_verdict signal_parse_rollback(const char *json, size_t len,
    struct msg_signal_rollback *out, const char **why) _must_check_;

/*
 * actions.rollback.ebpf, the orchestrator's own publication: {"request_id",
 * "action", "target_id" or "targets": [..], "artifact_id", "reason"?}.  It
 * concerns a host that target_id or targets names.
 */
enum signal_verdict signal_parse_action(const char *json, size_t len,
    const char *host_id, struct msg_signal_rollback *out,
    const char **why) _must_check_;

#endif
