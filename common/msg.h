/* SPDX-License-Identifier: ISC */
/*
 * The messages of msg.def: their payloads, their table, and typed functions
 * to send and read them.  Payloads are of fixed layout and fixed width,
 * without pointers; strings are NUL-terminated arrays, and whoever receives
 * one checks it (MSG_TEXT_OK, MSG_ID_OK) before use.
 */
#ifndef COMMON_MSG_H
#define COMMON_MSG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/imsg.h"
#include "common/lifecycle.h"
#include "common/limits.h"
#include "common/strnum.h"
#include "common/tcfilter.h"

enum msg_type {
	MSG_NOTHING = 0,
#define MSG(NAME, name, senders, receivers, fd, why) MSG_##NAME,
#include "common/msg.def"
#undef MSG
	MSG_TYPE_MAX
};

enum msg_fd_policy { MSG_FD_NONE, MSG_FD_ONE, MSG_FD_MAYBE };

struct msg_row {
	const char *name;
	uint32_t size; /* of the payload, exactly */
	uint32_t senders;
	uint32_t receivers;
	enum msg_fd_policy fd;
};

/* The row of a type, NULL if there is none. */
const struct msg_row *msg_row(uint32_t type);

/* The type's name, "?" if there is none.  Static. */
const char *msg_name(uint32_t type);

/*
 * A number that differs between two tables with different names, sizes,
 * directions or descriptors: agentd and a worker of another build find out
 * at the handshake instead of by accident.
 */
uint64_t msg_fingerprint(void);

/* For payload arrays. */
#define MSG_TEXT_OK(field) str_is_text((field), sizeof(field))
#define MSG_ID_OK(field)   str_is_identifier((field), sizeof(field))

/* ---- every worker ---- */

struct msg_config_end {
	uint32_t log_level; /* enum log_level */
	uint32_t reserved;
	char host_id[AEGIS_ID_SIZE];
};

struct msg_worker_ready {
	uint64_t fingerprint; /* msg_fingerprint() */
	int32_t landlock_abi; /* 0: this kernel has no Landlock */
	uint32_t reserved;
};

struct msg_worker_log {
	uint32_t level; /* enum log_level */
	uint32_t reserved;
	char artifact_id[AEGIS_ID_SIZE]; /* "" where none */
	char text[AEGIS_TEXT_SIZE];
	char error[2048]; /* "" where none */
};

struct msg_worker_ping {
	uint64_t nonce;
};

struct msg_log_level {
	uint32_t level;
	uint32_t reserved;
};

enum secret_kind {
	SECRET_TOKEN = 0,  /* bearer or Vault token, no newline */
	SECRET_CA,         /* PEM */
	SECRET_CERT,       /* PEM */
	SECRET_KEY,        /* PEM */
	SECRET_NATS_CREDS, /* a .creds file */
	SECRET_URL,        /* a URL with user and password in it */
	SECRET_SIGNAL_KEY,
	SECRET_MAX
};

struct msg_secret {
	uint32_t kind; /* enum secret_kind */
	uint32_t reserved;
};

/* ---- spawn ---- */

struct msg_spawn_start {
	uint32_t role; /* enum proc_role */
	uint32_t reserved;
};

struct msg_spawn_kill {
	uint32_t role;
	int32_t signal;
};

struct msg_spawn_started {
	uint32_t role;
	int32_t pid;    /* > 0, or 0 with: */
	int32_t result; /* negative errno */
	uint32_t reserved;
	char text[AEGIS_TEXT_SIZE]; /* what failed */
};

struct msg_spawn_exited {
	uint32_t role;
	int32_t pid;
	int32_t wait_status; /* as waitpid(2) gives it */
	uint32_t reserved;
};

/* ---- fetchd, registry ---- */

struct msg_fetch_config {
	char url[AEGIS_URL_SIZE]; /* base, no trailing slash; file: as given */
	char host_id[AEGIS_ID_SIZE];
	char binary_path[AEGIS_PATH_SIZE]; /* "/artifacts/{id}/binary" */
	uint32_t poll_interval_sec;
	uint32_t is_file; /* 1: FETCH_ROOT follows */
	uint64_t cache_max_bytes;
};

struct msg_fetch_dir {
	char path[AEGIS_PATH_SIZE]; /* for messages to people only */
};

struct msg_fetch_poll {
	uint32_t reserved[2];
};

enum poll_result {
	POLL_CHANGED = 0,  /* a list came before this message */
	POLL_NOT_MODIFIED, /* 304, or the same bytes */
	POLL_FAILED,
	POLL_CACHED, /* failed; the last good list came from the cache */
	POLL_RESULT_MAX
};

struct msg_fetch_polled {
	uint32_t result;      /* enum poll_result */
	uint32_t http_status; /* 0 where there was none */
	uint32_t next_ms;     /* until the next poll */
	uint32_t failures;    /* in succession */
	uint64_t duration_us;
	int64_t list_expires_wall_ns; /* 0: the list carries none */
	char error[AEGIS_TEXT_SIZE];
};

struct msg_fetch_list {
	uint32_t entries; /* as in the records' header */
	uint32_t skipped; /* malformed entries, logged by fetchd */
};

struct msg_fetch_artifact {
	char artifact_id[AEGIS_ID_SIZE];
	uint8_t sha256[AEGIS_SHA256_SIZE]; /* the cache's key */
	uint64_t expected_size;            /* 0: unknown */
};

struct msg_fetch_cancel {
	uint32_t reserved[2];
};

/* How a piece of work ended, and so what agentd does next. */
enum work_result {
	WORK_OK = 0,
	WORK_TRANSIENT, /* try again with back-off */
	WORK_REFUSED,   /* the artifact is at fault: until id or checksum
			 * changes */
	WORK_VERIFIER,  /* refused by the kernel's verifier (LOAD_DONE) */
	WORK_MISMATCH,  /* not the bytes whose checksum the registry lists:
			 * perhaps it lists before it stores (VERIFY_DONE) */
	WORK_RESULT_MAX
};

struct msg_fetch_done {
	uint32_t result; /* enum work_result; WORK_OK comes with the fd */
	uint32_t from_cache;
	uint64_t size;
	uint64_t duration_us;
	char error[AEGIS_TEXT_SIZE];
};

/* ---- fetchd, Vault ---- */

struct msg_vault_config {
	char url[AEGIS_URL_SIZE];
	char key_path[AEGIS_PATH_SIZE];
	char vault_namespace[AEGIS_ID_SIZE];
	uint32_t refresh_sec;
	uint32_t reserved;
};

struct msg_vault_refresh {
	uint32_t version; /* 0: just refresh */
	uint32_t reserved;
};

struct msg_vault_keys {
	uint32_t keys;
	uint32_t reserved;
};

struct msg_vault_state {
	uint32_t ok;
	uint32_t http_status;
	char error[AEGIS_TEXT_SIZE];
};

/* ---- verifyd ---- */

enum parameters_policy {
	PARAMETERS_SCHEMA = 0,
	PARAMETERS_SIGNED,
	PARAMETERS_ANY
};

struct msg_verify_config {
	char architecture[32];   /* uname -m */
	char kernel_release[65]; /* uname -r */
	char pad[7];
	uint32_t parameters_policy; /* enum parameters_policy */
	uint32_t cpu_limit_sec; /* an artifact that takes longer is refused */
	uint32_t may_inspect;   /* 1: aegisctl asks, VERIFY_INSPECT may come */
	uint32_t reserved;
};

struct msg_verify_keys {
	uint32_t is_keyset; /* 0: PEM text; 1: keyset.h records from Vault */
	uint32_t reserved;
};

struct msg_verify_parameters {
	uint32_t reserved[2];
};

struct msg_verify_artifact {
	char artifact_id[AEGIS_ID_SIZE];
	char name[AEGIS_NAME_SIZE];
	char version[AEGIS_VERSION_SIZE];
	char architecture[32];   /* the entry's; "" if it has none */
	char kernel_version[32]; /* the same */
	uint8_t sha256[AEGIS_SHA256_SIZE];
	uint32_t has_sha256;
	uint32_t has_parameters; /* VERIFY_PARAMETERS came before */
	char signature[AEGIS_SIGNATURE_SIZE];
};

struct msg_verify_object {
	uint8_t sha256[AEGIS_SHA256_SIZE]; /* of program.o, where
	checksums name it, else zero */
};

struct msg_verify_plan {
	uint32_t reserved[2];
};

struct msg_verify_effective {
	uint32_t reserved[2];
};

struct msg_verify_inspect {
	uint32_t has_signature; /* 1: it must hold; 0: look all the same */
	uint32_t as_text;       /* for people; 0: JSON */
	char signature[AEGIS_SIGNATURE_SIZE];
};

struct msg_verify_description {
	char name[AEGIS_NAME_SIZE];
	char version[AEGIS_VERSION_SIZE];
	char architecture[32]; /* metadata's, or "" */
	uint8_t sha256[AEGIS_SHA256_SIZE];
};

struct msg_verify_done {
	uint32_t result;      /* enum work_result */
	uint32_t key_version; /* an unknown "vault:vN:" version, else 0 */
	char key_id[32];      /* which key held, for the log */
	char error[AEGIS_ERROR_SIZE];
};

struct msg_verify_symbol {
	uint32_t attach; /* index in the plan's attachments */
	uint32_t round;  /* of the load; comes back */
	char symbol[AEGIS_TARGET_SIZE];
};

struct msg_verify_symbol_at {
	uint32_t attach;
	uint32_t round;
	uint32_t result; /* enum work_result */
	uint32_t reserved;
	uint64_t offset; /* in the file, bytes */
	char error[AEGIS_TEXT_SIZE];
};

/* ---- bpfd ---- */

struct msg_bpf_config {
	char cgroup_root[AEGIS_PATH_SIZE]; /* mount point of cgroup2, or "" */
	uint32_t filter_owner; /* marks this agent's filters (tcfilter.h) */
	uint32_t reserved;
};

struct msg_load_object {
	char artifact_id[AEGIS_ID_SIZE]; /* for log lines */
};

struct msg_load_plan {
	char artifact_id[AEGIS_ID_SIZE];
};

struct msg_load_old_link {
	uint32_t attach;  /* index in the new plan's attachments */
	uint32_t ifindex; /* where it is; 0: not at an interface */
};

struct msg_load_old_filter {
	uint32_t attach; /* index in the new plan's attachments */
	uint32_t reserved;
	struct tc_filter filter;
};

struct msg_load_perf {
	uint32_t attach; /* index in the plan's attachments */
	uint32_t cpu;    /* where it samples; else 0 */
};

struct msg_load_start {
	uint32_t old_links;      /* how many LOAD_OLD_LINK, _FILTER came, */
	uint32_t perf_events;    /* and LOAD_PERF */
	uint64_t predecessor;    /* handle of the one it replaces; 0: none */
	uint32_t attach_nothing; /* 1: aegisctl dry-run */
	uint32_t reserved;
};

struct msg_load_prog {
	uint32_t index; /* in the plan's programs */
	uint32_t prog_id;
	uint8_t tag[8];
};

struct msg_load_map {
	uint32_t index; /* in the plan's maps */
	uint32_t map_id;
};

struct msg_load_link {
	uint32_t attach; /* index in the plan's attachments */
	uint32_t link_id;
	uint32_t ifindex; /* the interface it is at; else 0 */
	uint32_t cpu;     /* perf_event: the processor it samples */
	char interface[AEGIS_IFNAME_SIZE]; /* its name; else "" */
};

struct msg_load_filter {
	uint32_t attach; /* index in the plan's attachments */
	uint32_t reserved;
	struct tc_filter filter;
	char interface[AEGIS_IFNAME_SIZE]; /* the name of its interface */
};

struct msg_load_updated {
	uint32_t attach;  /* as LOAD_OLD_LINK had it, */
	uint32_t ifindex; /* both */
};

struct msg_load_verifier_log {
	uint32_t reserved[2];
};

struct msg_load_done {
	uint32_t result;    /* enum work_result */
	uint32_t holder_id; /* the program that has the hook; 0: not known */
	uint64_t load_us;   /* libbpf's load */
	uint64_t attach_us; /* all attachments */
	char error[AEGIS_ERROR_SIZE];
};

struct msg_update_plan {
	uint64_t running;   /* handle of the artifact whose maps are written */
	uint32_t take_back; /* 1: a bpfd died over this very change; undo what
			       it may have written, and no more */
	uint32_t reserved;
};

struct msg_update_done {
	uint32_t in_place; /* 1: in force; 0: nothing has changed, */
	uint32_t mixed;    /* but 1: not all of it could be undone */
	char error[AEGIS_ERROR_SIZE];
};

struct msg_bpf_forget {
	uint32_t reserved[2];
};

struct msg_interfaces {
	uint32_t count;
	uint32_t reserved;
};

struct msg_link_attach {
	uint32_t attach;                   /* index in the plan's attachments */
	uint32_t ifindex;                  /* where; 0: what its target names */
	char interface[AEGIS_IFNAME_SIZE]; /* its name, or "" */
};

struct msg_link_attached {
	uint32_t attach; /* as LINK_ATTACH had it, */
	uint32_t ifindex;
	uint32_t result; /* enum work_result; WORK_OK comes with the fd, */
	uint32_t link_id;
	uint32_t gone;           /* the interface or cgroup is not there */
	uint32_t holder_id;      /* as in LOAD_DONE */
	struct tc_filter filter; /* or with this, whose handle is not 0 */
	char error[AEGIS_TEXT_SIZE * 2];
};

struct msg_link_restore {
	uint32_t attach; /* index in the plan's attachments */
	uint32_t ifindex;
};

struct msg_link_restored {
	uint32_t attach; /* as LINK_RESTORE had it, */
	uint32_t ifindex;
	uint32_t result; /* enum work_result */
	uint32_t reserved;
	char error[AEGIS_TEXT_SIZE];
};

struct msg_filter_detach {
	struct tc_filter filter;
};

struct msg_filter_detached {
	struct tc_filter filter; /* as asked */
	uint32_t result;         /* enum work_result; WORK_OK: it is gone */
	uint32_t reserved;
	char error[AEGIS_TEXT_SIZE];
};

struct msg_filter_check {
	uint32_t attach; /* index in the plan's attachments */
	uint32_t reserved;
	struct tc_filter filter;
};

struct msg_filter_checked {
	uint32_t attach;         /* as FILTER_CHECK had it, */
	uint32_t seen_prog_id;   /* the program that it runs; 0: it is gone */
	struct tc_filter filter; /* as asked */
};

struct msg_filters_keep {
	uint32_t count;
	uint32_t reserved;
};

struct msg_filters_kept {
	uint32_t removed;
	uint32_t restored;   /* given the program back that it should run */
	uint32_t incomplete; /* 1: some may be left */
	uint32_t reserved;
};

struct msg_bpf_sample {
	uint64_t round;
};

struct msg_bpf_sampled {
	uint64_t round;
	int64_t boot_ns; /* when it was taken */
	uint64_t run_count;
	uint64_t run_time_ns;
	uint64_t recursion_misses;
	uint64_t memory_bytes;
	uint64_t packets_processed; /* UINT64_MAX: the object has no counter */
	uint64_t violations;
	uint64_t errors;
	int32_t result; /* 0 or a negative errno: the numbers are void */
	uint32_t reserved;
};

/* ---- telemd ---- */

struct msg_telem_config {
	char subject[AEGIS_ID_SIZE]; /* AGENT_TELEMETRY_SUBJECT */
	char host_id[AEGIS_ID_SIZE];
	char agent_version[32];
	char stream[AEGIS_ID_SIZE]; /* AGENT_NATS_STREAM or "" */
	char url[AEGIS_URL_SIZE];   /* "" if it holds a secret: SECRET_URL */
	uint64_t next_seq;          /* first seq to use if the spool has none */
	uint64_t spool_max_bytes;
	uint32_t violation_rate; /* a second and program */
	uint32_t reserved;
};

struct msg_telem_spool {
	uint32_t reserved[2];
};

struct msg_event {
	uint8_t event_id[16]; /* UUIDv7, the same when sent again */
	int64_t wall_ns;
	uint32_t type;   /* enum event_type; never VIOLATION_REPORT */
	uint32_t status; /* enum program_status */
	uint32_t unload_reason;
	uint32_t rollback_reason;
	uint32_t threshold;
	uint32_t rollback_status;
	double value; /* what crossed the threshold */
	double limit; /* the threshold's own value */
	struct telemetry telemetry;
	char artifact_id[AEGIS_ID_SIZE];
	char name[AEGIS_NAME_SIZE];
	char version[AEGIS_VERSION_SIZE];
	char reason[AEGIS_REASON_SIZE]; /* free text: who asked, why */
	char error[AEGIS_ERROR_SIZE];
	/* AGENT_HEARTBEAT */
	int64_t uptime_sec;
	uint32_t loaded_programs;
	uint32_t health; /* enum snapshot_health */
	uint32_t worker_restarts[PROC_MAX];
	uint32_t reserved;
};

struct msg_event_accepted {
	uint64_t next_seq; /* for TELEM_CONFIG of the next telemd */
};

struct msg_ring_add {
	uint32_t max_entries; /* bytes of the ring */
	uint32_t reserved;
	char artifact_id[AEGIS_ID_SIZE];
	char name[AEGIS_NAME_SIZE];
	char version[AEGIS_VERSION_SIZE];
};

struct msg_ring_lost {
	uint32_t reserved[2];
};

struct msg_ring_remove {
	uint32_t reserved[2];
};

struct msg_signal_rollback {
	char artifact_id[AEGIS_ID_SIZE];
	char reason[AEGIS_REASON_SIZE];
	char request_id[AEGIS_ID_SIZE]; /* "" where none */
};

struct msg_signal_reply {
	uint32_t accepted;
	uint32_t reserved;
	char error[AEGIS_TEXT_SIZE];
};

struct msg_telem_state {
	uint32_t connected;
	uint32_t spool_full;
	uint64_t sent[EVENT_TYPE_MAX];
	uint64_t dropped[EVENT_TYPE_MAX];
	uint64_t spooled_bytes;
	uint64_t spooled_events;
	uint64_t reconnects;
	uint64_t bad_signals;
	uint64_t violations_suppressed;
	char error[AEGIS_TEXT_SIZE]; /* why not connected */
};

/* ---- apid ---- */

struct msg_api_config {
	char address[64]; /* "" = all, IPv4 and IPv6 */
	uint32_t port;
	uint32_t reserved;
};

struct msg_api_snapshot {
	uint64_t generation;
};

struct msg_api_state {
	uint32_t listening;
	uint32_t reserved;
	char error[AEGIS_TEXT_SIZE];
};

/* ---- aegisctl ---- */

enum ctl_command {
	CTL_SNAPSHOT = 0, /* read-only; all others change something */
	CTL_ROLLBACK,
	CTL_UNLOAD,
	CTL_PARDON,
	CTL_ALLOW_DOWNGRADE,
	CTL_POLL,
	CTL_LOG_LEVEL,
	CTL_RELOAD,
	CTL_EVENTS, /* read-only, too */
	CTL_COMMAND_MAX
};

struct msg_ctl_request {
	uint32_t command; /* enum ctl_command */
	uint32_t follow;  /* CTL_EVENTS: 1 until either hangs up */
	uint32_t last;    /* CTL_EVENTS: so many of those that were */
	uint32_t reserved;
	char artifact_id[AEGIS_ID_SIZE]; /* or a name, or a level */
	char version[AEGIS_VERSION_SIZE];
	char reason[AEGIS_REASON_SIZE];
};

struct msg_ctl_reply {
	int32_t result; /* 0 or a negative errno */
	uint32_t reserved;
	char text[1024];
};

struct msg_events_end {
	int32_t result; /* 0, or a negative errno */
	uint32_t reserved;
	char text[AEGIS_TEXT_SIZE];
};

/* ---- generated ---- */

#define MSG_DEFINE_SEND_NONE(NAME, name)                                       \
	_must_check_ static inline int msg_send_##NAME(                        \
	    struct imsg_channel *ch, uint64_t id, const struct msg_##name *p)  \
	{                                                                      \
		return imsg_send(ch, MSG_##NAME, id, p, sizeof(*p), -1);       \
	}
#define MSG_DEFINE_SEND_ONE(NAME, name)                                        \
	_must_check_ static inline int msg_send_##NAME(                        \
	    struct imsg_channel *ch, uint64_t id, const struct msg_##name *p,  \
	    int fd)                                                            \
	{                                                                      \
		return imsg_send(ch, MSG_##NAME, id, p, sizeof(*p), fd);       \
	}
#define MSG_DEFINE_SEND_MAYBE(NAME, name) MSG_DEFINE_SEND_ONE(NAME, name)

/*
 * msg_send_<NAME>(channel, id, payload[, fd]): see imsg_send().
 * msg_get_<NAME>(m): the payload of a message of that type.
 */
#define MSG(NAME, name, senders, receivers, fdpolicy, why)                     \
	MSG_DEFINE_SEND_##fdpolicy(                                            \
	    NAME, name) static inline const struct msg_##name                  \
	    *msg_get_##NAME(const struct imsg *m)                              \
	{                                                                      \
		return m->data;                                                \
	}
#include "common/msg.def"
#undef MSG

#endif
