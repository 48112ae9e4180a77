/* SPDX-License-Identifier: ISC */
/*
 * The snapshot: all that apid and aegisctl may show, as flat records in a
 * sealed memfd that agentd publishes when something changes and once a
 * sample period.  Header, arrays in the order of the header's counts, data
 * area.  Text of any length (errors, parameters, verifier logs) lies in the
 * data area as offset and length, not terminated.
 */
#ifndef COMMON_SNAPSHOT_H
#define COMMON_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/lifecycle.h"
#include "common/limits.h"
#include "common/proc.h"
#include "common/tcfilter.h"

#define SNAPSHOT_MAGIC   0x504e5341u /* "ASNP" */
#define SNAPSHOT_VERSION 3

#define SNAPSHOT_LOAD_BUCKETS 12

enum snapshot_health { HEALTH_HEALTHY = 0, HEALTH_DEGRADED, HEALTH_UNHEALTHY };

/* Text in the data area. */
struct snapshot_text {
	uint32_t off;
	uint32_t len;
};

struct snapshot_header {
	uint32_t magic;
	uint32_t version;
	uint64_t total_len;
	uint64_t generation; /* grows with every published snapshot */
	uint64_t content;    /* the same for the same content: for ETag */
	int64_t taken_wall_ns;
	int64_t taken_boot_ns;
	int64_t started_wall_ns;
	int64_t started_boot_ns; /* uptime = now - this */
	char host_id[AEGIS_ID_SIZE];
	char agent_version[32];
	char kernel_release[72];
	char architecture[32];
	uint32_t health; /* enum snapshot_health */
	uint32_t from_cache;
	uint32_t reason_count;
	uint32_t program_count;
	uint32_t attach_count;
	uint32_t kernel_prog_count;
	uint32_t rollback_count;
	uint32_t worker_count;
	uint32_t data_len;
	uint32_t max_programs;
	/* counters since start; whoever shows them derives the gauges */
	uint64_t loads_ok;
	uint64_t loads_failed;
	uint64_t unloads[UNLOAD_MAX]; /* by enum unload_reason */
	uint64_t rollbacks;
	uint64_t verify_refused;
	uint64_t polls[4]; /* by enum poll_result */
	int64_t last_poll_wall_ns;
	uint64_t protocol_violations;
	uint64_t drift_found;
	uint64_t drift_repaired;
	uint64_t events_sent[EVENT_TYPE_MAX];
	uint64_t events_dropped[EVENT_TYPE_MAX];
	uint64_t violations_suppressed;
	uint64_t nats_reconnects;
	uint64_t nats_bad_signals;
	uint32_t nats_connected;
	uint32_t reserved;
	uint64_t spool_bytes;
	uint64_t spool_events;
	/* histogram of load times: upper bounds 1 2 5 10 20 50 100 200 500
	 * 1000 2000 ms and +Inf; not cumulative */
	uint64_t load_buckets[SNAPSHOT_LOAD_BUCKETS];
	uint64_t load_sum_us;
};

/* Why the agent is not healthy. */
struct snapshot_reason {
	char component[16]; /* registry, vault, nats, a worker, spool, cache */
	char text[AEGIS_TEXT_SIZE];
	uint32_t unhealthy; /* 0: degraded */
	uint32_t reserved;
};

struct snapshot_program {
	char artifact_id[AEGIS_ID_SIZE];
	char name[AEGIS_NAME_SIZE];
	char version[AEGIS_VERSION_SIZE];
	uint8_t sha256[AEGIS_SHA256_SIZE];
	uint32_t status; /* enum program_status */
	uint32_t unload_reason;
	int64_t loaded_wall_ns;  /* 0: never */
	int64_t ttl_sec;         /* 0: no end */
	int64_t expires_boot_ns; /* 0: no end, or not loaded */
	int64_t sampled_wall_ns; /* 0: never */
	struct telemetry telemetry;
	struct snapshot_text error;
	struct snapshot_text parameters; /* JSON object, or len 0 */
	struct snapshot_text verifier_log;
	uint32_t attach_first; /* in the attach array */
	uint32_t attach_count;
	uint32_t prog_first; /* in the kernel program array */
	uint32_t prog_count;
	uint32_t listed; /* the registry's list names it */
	uint32_t reserved;
};

struct snapshot_attach {
	char program[AEGIS_BPF_NAME_SIZE];
	char target[AEGIS_TARGET_SIZE];
	uint32_t kind; /* enum attach_kind */
	uint32_t link_id;
	struct tc_filter filter; /* instead of a link; or handle 0 */
};

struct snapshot_kernel_prog {
	char program[AEGIS_BPF_NAME_SIZE];
	uint32_t prog_id;
	uint32_t reserved;
	uint8_t tag[8];
};

struct snapshot_rollback {
	char artifact_id[AEGIS_ID_SIZE];
	char name[AEGIS_NAME_SIZE];
	char version[AEGIS_VERSION_SIZE];
	char restored_version[AEGIS_VERSION_SIZE]; /* "" where none */
	char text[AEGIS_REASON_SIZE];              /* what was said */
	char error[AEGIS_TEXT_SIZE];
	uint32_t reason;    /* enum rollback_reason */
	uint32_t threshold; /* enum threshold */
	uint32_t status;    /* enum rollback_status */
	uint32_t reserved;
	double value;
	double limit;
	int64_t wall_ns;
};

struct snapshot_worker {
	uint32_t role; /* enum proc_role */
	uint32_t ready;
	int32_t pid; /* 0: not running */
	uint32_t restarts;
	int64_t since_boot_ns; /* of the current state */
	char last_exit[AEGIS_TEXT_SIZE];
};

struct snapshot {
	const struct snapshot_header *header;
	const struct snapshot_reason *reasons;
	const struct snapshot_program *programs;
	const struct snapshot_attach *attaches;
	const struct snapshot_kernel_prog *kernel_progs;
	const struct snapshot_rollback *rollbacks;
	const struct snapshot_worker *workers;
	const char *data;
};

/*
 * Check LEN bytes at BYTES (8-aligned) and point SNAP into them.  0, or
 * -EBADMSG with *WHAT (static).
 */
int snapshot_check(const void *bytes, size_t len, struct snapshot *snap,
    const char **what) _must_check_;

#endif
