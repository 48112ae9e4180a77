/* SPDX-License-Identifier: ISC */
/*
 * The load plan: what verifyd worked out from a verified artifact and its
 * parameters, as flat records that bpfd carries out without parsing a word
 * of JSON, BTF or tar.
 *
 * A plan is one sealed memfd: the header, then the arrays of records in the
 * order of the header's counts, then a data area.  Everything variable lies
 * in the data area as offset and length.  loadplan_check() is the gate: what
 * passes it has every index, offset, length and string in bounds, and enum
 * values known; what the object itself says (map sizes, program names) bpfd
 * compares when it has the object.
 */
#ifndef COMMON_LOADPLAN_H
#define COMMON_LOADPLAN_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/attach.h"
#include "common/cleanup.h"
#include "common/limits.h"

#define LOADPLAN_MAGIC   0x4e4c5041u /* "APLN" */
#define LOADPLAN_VERSION 2

#define LOADPLAN_MAX_PROGS    64
#define LOADPLAN_MAX_MAPS     64
#define LOADPLAN_MAX_ATTACHES 64
#define LOADPLAN_MAX_COUNTERS 32
#define LOADPLAN_MAX_WRITES   (1u << 20)

/* Signed limits that agentd applies; what the artifact does not set is -1. */
struct loadplan_limits {
	double max_errors;
	double max_violations;
	double max_cpu_percent;
	double max_latency_ms;
	double max_memory_kb;
};

struct loadplan_header {
	uint32_t magic;
	uint32_t version;
	uint64_t total_len; /* of the whole plan, bytes */
	uint32_t prog_count;
	uint32_t map_count;
	uint32_t attach_count;
	uint32_t counter_count;
	uint32_t write_count;
	uint32_t data_len;                     /* of the data area, bytes */
	char object_name[AEGIS_BPF_NAME_SIZE]; /* for bpf_object_open_opts:
						  makes internal map names */
	char name[AEGIS_NAME_SIZE];
	char artifact_version[AEGIS_VERSION_SIZE];
	char replaces[AEGIS_ID_SIZE]; /* metadata's, or "" */
	uint64_t max_ttl_sec;         /* 0: none */
	uint64_t sequence;            /* 0: none */
	int64_t not_after_wall_ns;    /* 0: none */
	struct loadplan_limits limits;
};

struct loadplan_prog {
	char name[AEGIS_BPF_NAME_SIZE]; /* bpf_program__name() */
	uint32_t autoload;              /* 0: not loaded */
	uint32_t prog_type;             /* BPF_PROG_TYPE_*, as libbpf sees it */
	uint32_t attach_target_off;     /* data area: the symbol for */
	uint32_t attach_target_len;     /* bpf_program__set_attach_target(),
					   not NUL-terminated; 0: leave */
};

enum loadplan_map_flags {
	LOADPLAN_MAP_STATS = 1 << 0,  /* sampled: goes to agentd, too */
	LOADPLAN_MAP_EVENTS = 1 << 1, /* aegis_events: goes to telemd */
	LOADPLAN_MAP_CARRY = 1 << 2,  /* carry_maps */
	LOADPLAN_MAP_LOST = 1 << 3,   /* aegis_lost: goes to telemd, too */
};

/* The object's maps in libbpf's order, all of them, internal ones too. */
struct loadplan_map {
	char name[AEGIS_BPF_NAME_SIZE]; /* bpf_map__name() */
	uint32_t type;
	uint32_t key_size;
	uint32_t value_size;
	uint32_t max_entries;
	uint32_t flags; /* enum loadplan_map_flags */
	uint32_t reserved;
};

enum loadplan_attach_flags {
	LOADPLAN_XDP_SKB = 1 << 0,     /* mode generic */
	LOADPLAN_XDP_DRV = 1 << 1,     /* mode native; neither: auto */
	LOADPLAN_PERF_PERIOD = 1 << 2, /* rate: events, not times a second */
};

struct loadplan_attach {
	uint32_t prog; /* index of the program */
	uint32_t kind; /* enum attach_kind */
	uint32_t flags;
	int32_t priority; /* tc: of a filter, 0: none; netfilter: any */
	/* Interface, cgroup path, symbol; for people, and, up to name_len
	 * bytes, what it is about.  Never "". */
	char target[AEGIS_TARGET_SIZE];
	uint64_t offset; /* kprobe, uprobe: bytes after the symbol; uprobe
			    without one: in the file */
	/* In the data area: uprobe's symbol (0 bytes: none), not terminated;
	 * kprobe.multi's symbols, each with its NUL. */
	uint32_t symbols_off;
	uint32_t symbols_len;
	uint32_t rate;     /* perf_event: samples a second, or the period */
	uint32_t name_len; /* of target: kprobe's symbol, uprobe's binary,
			      perf_event's event; else 0 */
};

enum loadplan_counter_kind {
	COUNTER_PACKETS = 0,
	COUNTER_VIOLATIONS,
	COUNTER_ERRORS,
	COUNTER_KIND_MAX
};

/* Adds to the artifact's counter of that kind, over all keys and CPUs. */
struct loadplan_counter {
	uint32_t kind;   /* enum loadplan_counter_kind */
	uint32_t map;    /* index; an array or per-CPU array */
	uint32_t offset; /* in the value, bytes */
	uint32_t size;   /* 1, 2, 4 or 8; host byte order, unsigned */
};

enum loadplan_write_kind {
	WRITE_INITIAL = 0, /* bytes into an internal map's initial value at
			      `offset`, before load (.rodata .data .bss) */
	WRITE_ELEMENT,     /* bpf_map_update_elem(key, value), after load;
			      per-CPU maps: the same value for every CPU */
};

struct loadplan_write {
	uint32_t kind;
	uint32_t map;
	uint32_t offset;  /* WRITE_INITIAL */
	uint32_t key_off; /* WRITE_ELEMENT: data area; key_size bytes */
	uint32_t value_off;
	uint32_t value_len; /* WRITE_ELEMENT: value_size bytes */
};

/* A checked plan: pointers into the mapping, which must outlive it. */
struct loadplan {
	const struct loadplan_header *header;
	const struct loadplan_prog *progs;
	const struct loadplan_map *maps;
	const struct loadplan_attach *attaches;
	const struct loadplan_counter *counters;
	const struct loadplan_write *writes;
	const uint8_t *data;
};

/*
 * Check LEN bytes at BYTES (8-aligned) and point PLAN into them.  0, or
 * -EBADMSG with *WHAT saying which record is wrong (static text).
 */
int loadplan_check(const void *bytes, size_t len, struct loadplan *plan,
    const char **what) _must_check_;

/*
 * The writing side.  Add records in any order; ids are indices in order of
 * addition.  Functions return 0, -ENOMEM or -E2BIG (beyond the maxima).
 */
struct loadplan_builder;
struct loadplan_builder *loadplan_builder_new(void);
void loadplan_builder_free(struct loadplan_builder *b);

/* The header to fill in; counts and lengths are set at the end. */
struct loadplan_header *loadplan_builder_header(struct loadplan_builder *b);
int loadplan_add_prog(
    struct loadplan_builder *b, const struct loadplan_prog *prog) _must_check_;
int loadplan_add_map(
    struct loadplan_builder *b, const struct loadplan_map *map) _must_check_;
int loadplan_add_attach(struct loadplan_builder *b,
    const struct loadplan_attach *attach) _must_check_;
int loadplan_add_counter(struct loadplan_builder *b,
    const struct loadplan_counter *counter) _must_check_;
int loadplan_add_write(struct loadplan_builder *b,
    const struct loadplan_write *write) _must_check_;
/* Copy LEN bytes into the data area; *OFF is where they went. */
int loadplan_add_data(struct loadplan_builder *b, const void *data, size_t len,
    uint32_t *off) _must_check_;

/* The records added so far may be changed until the end (flags, targets). */
struct loadplan_prog *loadplan_builder_prog(
    struct loadplan_builder *b, uint32_t index);
struct loadplan_map *loadplan_builder_map(
    struct loadplan_builder *b, uint32_t index);

/* The finished plan as a sealed memfd: owned descriptor or -errno. */
int loadplan_finish(struct loadplan_builder *b) _must_check_;

static inline void
loadplan_builder_freep(struct loadplan_builder **b)
{
	loadplan_builder_free(*b);
}

#endif
