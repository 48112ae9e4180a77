/* SPDX-License-Identifier: ISC */
/*
 * fetchd for Vault: the verification key, on a schedule and when asked.
 */
#ifndef FETCHD_VAULT_H
#define FETCHD_VAULT_H

/* The body of main(): the exit status. */
int vault_main(void);

#endif
