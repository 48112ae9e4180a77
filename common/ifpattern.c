/* SPDX-License-Identifier: ISC */
#include "common/ifpattern.h"

#include <fnmatch.h>
#include <string.h>

bool
ifpattern_is_glob(const char *text)
{
	return strpbrk(text, "*?[") != NULL;
}

bool
ifpattern_matches(const char *text, const char *name, bool is_loopback)
{
	if (*name == '\0')
		return false;
	if (!ifpattern_is_glob(text))
		return strcmp(text, name) == 0;
	if (is_loopback && strncmp(text, "lo", 2) != 0)
		return false;
	/* The kernel takes a backslash in a name as it comes. */
	return fnmatch(text, name, FNM_NOESCAPE) == 0;
}
