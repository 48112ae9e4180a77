/* SPDX-License-Identifier: ISC */
/*
 * From the bytes of an artifact to its load plan: every step in its order,
 * none after the first that refuses.
 */
#ifndef VERIFYD_ARTIFACT_H
#define VERIFYD_ARTIFACT_H

#include <stddef.h>
#include <stdint.h>

#include "common/msg.h"
#include "verifyd/keyring.h"
#include "verifyd/problems.h"

/* All that the answer depends on; borrowed. */
struct artifact_input {
	const struct keyring *keys;
	const struct msg_verify_config *config;
	const struct msg_verify_artifact *entry; /* strings checked */
	const void *data;                        /* artifact.tar.zst */
	size_t len;
	const char *parameters; /* the registry's, JSON text; NULL: none */
	size_t parameters_len;
};

/* What comes out; with WORK_OK the descriptors are there. */
struct artifact_output {
	enum work_result result;
	uint32_t key_version; /* the version that is not known, or 0 */
	char key_id[32];
	int object_fd;                            /* owned: program.o, sealed */
	uint8_t object_sha256[AEGIS_SHA256_SIZE]; /* zero: nobody asked */
	int plan_fd;      /* owned: loadplan.h, sealed */
	int effective_fd; /* owned: the parameters in force, JSON, sealed */
	struct problems problems;
};

/* Fills OUT whatever happens. */
void artifact_verify(
    const struct artifact_input *in, struct artifact_output *out);

struct object;
struct metadata;
struct json_object;
struct loadplan_builder;

/*
 * The whole plan of O with the parameters EFFECTIVE.  0, or -errno after
 * problems were added or for want of memory.
 */
int artifact_fill_plan(const struct object *o, const struct metadata *m,
    struct json_object *effective, struct loadplan_builder *plan,
    struct problems *problems) _must_check_;

void artifact_output_release(struct artifact_output *out);

#define _cleanup_artifact_output_ _cleanup_(artifact_output_release)

#endif
