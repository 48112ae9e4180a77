/* SPDX-License-Identifier: ISC */
/*
 * Names become addresses in glibc, which loads modules with dlopen(3) when
 * it first needs them: too late once the sandbox forbids executable
 * mappings.
 */
#ifndef FETCHD_RESOLVER_H
#define FETCHD_RESOLVER_H

/*
 * Load what /etc/nsswitch.conf names for hosts, and what glibc reads once.
 * Asks no server.  Failures show later, as look-ups that fail.
 */
void resolver_prepare(void);

#endif
