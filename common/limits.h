/* SPDX-License-Identifier: ISC */
/*
 * Sizes that several processes must agree on.  Arrays count their NUL.
 */
#ifndef COMMON_LIMITS_H
#define COMMON_LIMITS_H

#define AEGIS_ID_SIZE        128 /* artifact_id, host_id, request ids */
#define AEGIS_NAME_SIZE      128 /* an artifact's name */
#define AEGIS_VERSION_SIZE   64
#define AEGIS_URL_SIZE       1024
#define AEGIS_PATH_SIZE      512
#define AEGIS_SIGNATURE_SIZE 1536 /* RSA-8192 in base64, and Vault's prefix */
#define AEGIS_BPF_NAME_SIZE  64   /* a program's or map's name in the ELF */
#define AEGIS_TARGET_SIZE    256  /* interface, cgroup path, symbol */
#define AEGIS_IFNAME_SIZE    16   /* IFNAMSIZ */
#define AEGIS_TEXT_SIZE      256  /* one line for people */
#define AEGIS_ERROR_SIZE     4096 /* every problem of one artifact */
#define AEGIS_REASON_SIZE    256  /* why somebody asked for a rollback */
#define AEGIS_SHA256_SIZE    32
#define AEGIS_NATS_URLS      8 /* servers in AGENT_NATS_URL */

/* Events, numbered or counted: as far as JSON's numbers are exact. */
#define AEGIS_COUNT_MAX (UINT64_C(1) << 53)

/* CONTRACT 2. */
#define AEGIS_LIST_MAX       (8u << 20) /* registry list, JSON bytes */
#define AEGIS_LIST_ENTRIES   4096
#define AEGIS_ARTIFACT_MAX   (64u << 20) /* artifact.tar.zst */
#define AEGIS_EXTRACTED_MAX  (64u << 20)
#define AEGIS_TAR_MEMBERS    64
#define AEGIS_METADATA_MAX   (1u << 20)
#define AEGIS_PARAMETERS_MAX (1u << 20) /* one entry's parameters, JSON */

#define DESCRIPTION_MAX    (4u << 20)  /* what inspect prints */
#define AEGIS_PLAN_MAX     (32u << 20) /* a load plan */
#define AEGIS_SNAPSHOT_MAX (64u << 20)
#define AEGIS_SECRET_MAX   (256u << 10)
#define AEGIS_VERIFIER_LOG (16u << 10)

#endif
