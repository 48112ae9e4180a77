/* SPDX-License-Identifier: ISC */
/*
 * What an orchestrator says: the JSON of a rollback signal, checked.
 */
#ifndef TELEMD_SIGNAL_H
#define TELEMD_SIGNAL_H

#include <stddef.h>

#include "common/cleanup.h"
#include "common/msg.h"

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
