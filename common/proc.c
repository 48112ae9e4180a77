/* SPDX-License-Identifier: ISC */
#include "common/proc.h"

const char *
proc_name(enum proc_role role)
{
	static const char *const names[PROC_MAX] = {
		[PROC_AGENTD] = "agentd",
		[PROC_SPAWN] = "spawn",
		[PROC_REGISTRY] = "registry",
		[PROC_VAULT] = "vault",
		[PROC_VERIFY] = "verifyd",
		[PROC_BPF] = "bpfd",
		[PROC_API] = "apid",
		[PROC_TELEM] = "telemd",
		[PROC_CTL] = "aegisctl",
	};

	if ((unsigned int)role >= PROC_MAX)
		return "unknown";
	return names[role];
}
