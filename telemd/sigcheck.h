/* SPDX-License-Identifier: ISC */
/*
 * Signed rollback signals (AGENT_ROLLBACK_SIGNAL_KEY): an Ed25519 signature
 * over subject, time and body, each of the first two followed by a newline;
 * a time at most a minute off; and no signature twice.
 */
#ifndef TELEMD_SIGCHECK_H
#define TELEMD_SIGCHECK_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

#define SIGCHECK_TIME_HEADER      "Aegis-Time"      /* RFC 3339 */
#define SIGCHECK_SIGNATURE_HEADER "Aegis-Signature" /* base64 */

#define SIGCHECK_WINDOW_SEC 60
#define SIGCHECK_SIGNATURE  64 /* bytes */

/* Accepted signals that are remembered: more in a window are refused. */
#define SIGCHECK_SEEN_MAX 1024

struct sigcheck {
	EVP_PKEY *key;
	struct {
		uint8_t signature[SIGCHECK_SIGNATURE];
		int64_t forget_ns; /* wall clock */
	} seen[SIGCHECK_SEEN_MAX];
	size_t count;
};

/*
 * TEXT is an Ed25519 public key: PEM, base64 of the DER SubjectPublicKeyInfo,
 * or base64 of the 32 raw bytes.  -EINVAL: none of these.
 */
int sigcheck_init(struct sigcheck *sc, const char *text) _must_check_;
void sigcheck_free(struct sigcheck *sc);

/*
 * NULL when the signal may pass (and is remembered), else why not (static).
 * TIME and SIGNATURE: the headers, "" where there is none.
 */
const char *sigcheck_verify(struct sigcheck *sc, const char *subject,
    const char *time, const char *signature, const void *body, size_t len,
    int64_t now_wall_ns) _must_check_;

#endif
