/* SPDX-License-Identifier: ISC */
/*
 * From one agentd to the next without a gap: the descriptors that keep
 * programs in the kernel go to the service manager's store while agentd is
 * started anew, and with them a record that says what they belong to.
 *
 * Only for the time of a restart: as long as agentd runs, it alone holds
 * them, so that it detaches by closing, and takes them along when it dies.
 *
 * The record is one sealed memfd: header, artifacts, links, data area with
 * parameters (JSON text, unread).  Descriptors are not told apart by name or
 * order but by what the kernel says of them: program, map and link ids, and
 * the inode of a memfd.
 */
#ifndef AGENTD_HANDOVER_H
#define AGENTD_HANDOVER_H

#include <stddef.h>
#include <stdint.h>

#include "common/artlist.h"
#include "common/cleanup.h"
#include "common/lifecycle.h"
#include "common/limits.h"
#include "common/loadplan.h"
#include "common/tcfilter.h"

/* Their names in the store. */
#define HANDOVER_RECORD_NAME "aegisflux-record"
#define HANDOVER_HELD_NAME   "aegisflux-held"

/* After a hand-over: the service manager starts it anew. */
#define HANDOVER_EXIT_STATUS 75

#define HANDOVER_MAGIC   0x564f4841u /* "AHOV" */
#define HANDOVER_VERSION 2
#define HANDOVER_MAX     (48u << 20)

struct handover_header {
	uint32_t magic;
	uint32_t version;
	uint64_t total_len;
	/* Another build's records may have another form. */
	uint32_t artifact_size;
	uint32_t link_size;
	uint32_t artifact_count;
	uint32_t link_count;
	uint32_t data_len;
	uint32_t reserved;
	int64_t wall_ns; /* of several records, the newest counts */
	uint64_t next_handle;
	uint64_t next_load_order;
};

enum handover_flags {
	HANDOVER_LISTED = 1 << 0,
	HANDOVER_EVICTED = 1 << 1,
	HANDOVER_PACKETS = 1 << 2, /* has_packet_counter */
	/* A change of them was not finished: it must be replaced. */
	HANDOVER_PARAMS_UNKNOWN = 1 << 3,
};

struct handover_artifact {
	struct artlist_entry listing; /* params_off: in our data area */
	uint64_t handle;
	uint64_t predecessor;
	uint64_t successor;
	uint64_t load_order;
	int64_t loaded_boot_ns;
	int64_t loaded_wall_ns;
	int64_t sampled_boot_ns;
	int64_t sampled_wall_ns;
	int64_t watch_due_boot_ns;
	struct telemetry telemetry;
	uint64_t object_inode;
	uint64_t plan_inode;
	uint64_t effective_inode; /* 0: none */
	uint32_t status;          /* LOADED, RUNNING or UNLOADED */
	uint32_t unload_reason;
	uint32_t watch_threshold;
	uint32_t flags; /* enum handover_flags */
	uint32_t missing_polls;
	uint32_t reserved;
	uint32_t prog_ids[LOADPLAN_MAX_PROGS]; /* 0: none */
	uint8_t prog_tags[LOADPLAN_MAX_PROGS][8];
	uint32_t map_ids[LOADPLAN_MAX_MAPS]; /* 0: none */
};

struct handover_link {
	uint32_t artifact;                 /* index */
	uint32_t attach;                   /* of its plan */
	uint32_t link_id;                  /* 0: by a filter */
	uint32_t ifindex;                  /* 0: not at an interface */
	char interface[AEGIS_IFNAME_SIZE]; /* "" */
	/* Of these the record is all there is: the kernel keeps them. */
	struct tc_filter filter;
};

/* A checked record: pointers into the mapping. */
struct handover {
	const struct handover_header *header;
	const struct handover_artifact *artifacts;
	const struct handover_link *links;
	const uint8_t *data;
};

/*
 * Check LEN bytes at BYTES (8-aligned): bounds, strings, numbers.  0, or
 * -EBADMSG with *WHAT (static); -EPROTO: sound, but another build's.
 */
int handover_check(const void *bytes, size_t len, struct handover *h,
    const char **what) _must_check_;

/*
 * Write a record (counts, sizes and lengths of HEADER are set here) as a
 * sealed memfd.  Owned descriptor or -errno.
 */
int handover_write(struct handover_header *header,
    const struct handover_artifact *artifacts, uint32_t artifact_count,
    const struct handover_link *links, uint32_t link_count, const void *data,
    uint32_t data_len) _must_check_;

/* What the kernel says that a descriptor is. */
enum held_kind {
	HELD_OTHER = 0,
	HELD_LINK,
	HELD_PROG,
	HELD_MAP,
	HELD_MEMFD,
	HELD_STATS, /* BPF_ENABLE_STATS */
};

struct held {
	enum held_kind kind;
	uint32_t id;      /* of link, program or map */
	uint32_t prog_id; /* a link's program */
	uint8_t tag[8];   /* a program's */
	uint64_t inode;   /* a memfd's */
};

enum handover_place_kind {
	PLACE_NONE = 0, /* belongs to nothing in the record */
	PLACE_LINK,     /* index: in the record's links */
	PLACE_PROG,     /* index: in the plan */
	PLACE_MAP,
	PLACE_OBJECT,
	PLACE_PLAN,
	PLACE_EFFECTIVE,
};

struct handover_place {
	enum handover_place_kind kind;
	uint32_t artifact;
	uint32_t index;
};

/* Where it belongs.  A link must run a program of its own artifact, and a
 * program have the tag that it had. */
struct handover_place handover_find(
    const struct handover *h, const struct held *held);

/* ---- what acts ---- */

struct agent;

/* Take what the service manager gave us, before anything else is opened. */
void handover_collect(struct agent *agent);

/* Go on with it, as far as it belongs together; close the rest.  From then
 * on the store is empty. */
void handover_take_up(struct agent *agent);

/* A restart is wanted: settle, give all to the store, end. */
void handover_begin(struct agent *agent);

/* Settled (or late): give.  Ends agentd, by detaching if it must. */
void handover_finish(struct agent *agent);

#endif
