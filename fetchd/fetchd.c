/* SPDX-License-Identifier: ISC */
/*
 * fetchd: the HTTP client.  One executable, run twice: "registry" fetches
 * lists and artifacts, "vault" verification keys.  Which one it is comes on
 * the command line; what it may do comes from its own user and sandbox row.
 */
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "fetchd/registry.h"
#include "fetchd/vault.h"

int
main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "registry") == 0)
		return registry_main();
	if (argc == 2 && strcmp(argv[1], "vault") == 0)
		return vault_main();
	(void)fprintf(stderr,
	    "usage: fetchd registry | vault\n"
	    "It is started by agentd(8), not by hand.\n");
	return 64; /* EX_USAGE */
}
