/* SPDX-License-Identifier: ISC */
/*
 * One program of an object loaded by libbpf alone, with all that root may do:
 * what the kernel makes of it without the agent.
 */
#ifndef TESTS_INTEGRATION_BARE_LOAD_H
#define TESTS_INTEGRATION_BARE_LOAD_H

#include <stdint.h>

/*
 * Load the program PROGRAM of the object at PATH, put its digest into TAG, and
 * let it go again.  0 or a negative errno, the kernel's own where it refused.
 */
int bare_load(const char *path, const char *program, uint8_t tag[8]);

#endif
