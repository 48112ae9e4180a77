/* SPDX-License-Identifier: ISC */
/*
 * fetchd for the registry: configuration, start-up and dispatch.
 */
#ifndef FETCHD_REGISTRY_H
#define FETCHD_REGISTRY_H

/* The body of main(): the exit status. */
int registry_main(void);

#endif
