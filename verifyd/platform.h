/* SPDX-License-Identifier: ISC */
/*
 * Does this artifact fit this host: machine architecture and kernel version.
 */
#ifndef VERIFYD_PLATFORM_H
#define VERIFYD_PLATFORM_H

#include <stdbool.h>

/*
 * True if NAME, as uname(1), Go or Debian write it, is HOST (uname -m), or
 * is "any".
 */
bool platform_is_architecture(const char *name, const char *host);

/*
 * RELEASE (uname -r) against MINIMUM, one to three numbers, perhaps after
 * ">=".  1: new enough; 0: too old; -EINVAL: MINIMUM is no version.
 */
int platform_kernel_is_at_least(const char *release, const char *minimum);

#endif
