/* SPDX-License-Identifier: ISC */
/*
 * What somebody publishes on the orchestrator's subjects: the first byte says
 * which.  No crash; a rollback that comes out names its artifact by an
 * identifier and holds text only, and one that is refused has a reason.
 */
#include <stdint.h>

#include "common/strnum.h"
#include "telemd/signal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct msg_signal_rollback out = { 0 };
	const char *json, *why = NULL;
	enum signal_verdict verdict;

	if (size == 0)
		return 0;
	json = (const char *)data + 1;
	verdict = *data % 2 == 0
	    ? signal_parse_rollback(json, size - 1, &out, &why)
	    : signal_parse_action(json, size - 1, "host-test", &out, &why);
	if (verdict == SIGNAL_MALFORMED && why == NULL)
		abort();
	if (verdict == SIGNAL_FOR_US &&
	    (!MSG_ID_OK(out.artifact_id) || !MSG_TEXT_OK(out.reason)))
		abort();
	return 0;
}
