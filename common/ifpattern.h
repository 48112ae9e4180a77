/* SPDX-License-Identifier: ISC */
/*
 * Which interfaces an attachment's "interface" means.  A name means that one;
 * a text with '*', '?' or '[' is a pattern as the shell has them and means all
 * interfaces whose names match, but never the loopback unless the pattern
 * begins with "lo": "*" is for what comes from outside.
 */
#ifndef COMMON_IFPATTERN_H
#define COMMON_IFPATTERN_H

#include <stdbool.h>

/* Can TEXT mean more than one interface? */
bool ifpattern_is_glob(const char *text);

bool ifpattern_matches(const char *text, const char *name, bool is_loopback);

#endif
