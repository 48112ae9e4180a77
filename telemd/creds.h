/* SPDX-License-Identifier: ISC */
/*
 * NATS credentials from memory: a .creds file (user JWT and seed) or a bare
 * nkey seed.  nats.c reads them from file names only; telemd has no files.
 */
#ifndef TELEMD_CREDS_H
#define TELEMD_CREDS_H

#include <nats/nats.h>
#include <stddef.h>

#include "common/cleanup.h"

/*
 * Find the JWT (empty when there is none) and the seed in TEXT, as offsets
 * and lengths.  -EINVAL: there is no seed.
 */
int creds_parse(const char *text, size_t *jwt, size_t *jwt_len, size_t *seed,
    size_t *seed_len) _must_check_;

/*
 * The public key of a seed, as text of 56 characters: what a server that
 * knows users by nkey calls the user.  -EINVAL: SEED is none.
 */
int creds_public_key(const char *seed, size_t len, char out[57]) _must_check_;

/* Make OPTS use TEXT, which must live as long as OPTS and its connection. */
natsStatus creds_apply(natsOptions *opts, const char *text);

#endif
