/* SPDX-License-Identifier: ISC */
/*
 * Which of two versions is the newer: Semantic Versioning 2.0.0, with two
 * allowances for what registries hold: a leading 'v', and fewer or more than
 * three numbers ("1.2" is 1.2.0).
 */
#ifndef AGENTD_SEMVER_H
#define AGENTD_SEMVER_H

#include <stdbool.h>

/* True if S is a version. */
bool semver_is_valid(const char *s);

/*
 * < 0, 0, > 0 as A is older than, as old as, newer than B.  Build metadata
 * ("+...") does not count; a pre-release is older than its release.  Text
 * that is no version is older than every version, so that it is no way past
 * a check for downgrades; two such texts are compared as words, runs of
 * digits as numbers.
 */
int semver_compare(const char *a, const char *b);

#endif
