/* SPDX-License-Identifier: ISC */
/*
 * The ways to attach a program: the table of attach.def.  verifyd chooses the
 * row from the ELF section and the metadata; bpfd carries it out.
 */
#ifndef COMMON_ATTACH_H
#define COMMON_ATTACH_H

#include <stdbool.h>
#include <stdint.h>

enum attach_kind {
#define ATTACH(NAME, name, target, method, type, update, sections)             \
	ATTACH_##NAME,
#include "common/attach.def"
#undef ATTACH
	ATTACH_KIND_MAX
};

enum attach_target {
	TARGET_INTERFACE, /* "interface" */
	TARGET_CGROUP,    /* "cgroup" */
	TARGET_SYMBOL,    /* "symbol", or the section names it */
	/* The section may name these, too: */
	TARGET_KPROBE,     /* "symbol", and perhaps "offset" */
	TARGET_KPROBES,    /* "symbol": several, with commas */
	TARGET_TRACEPOINT, /* "tracepoint": category/name */
	TARGET_BINARY,     /* "binary", and "symbol" or "offset" or both */
	TARGET_EVENT,      /* "event", and perhaps "frequency" or "period" */
	TARGET_HOOK,       /* "hook": family/hook, and perhaps "priority" */
	TARGET_NETNS,      /* nothing: the network namespace of the agent */
};

enum attach_method {
	METHOD_LINK_IFINDEX,   /* BPF_LINK_CREATE with target_ifindex */
	METHOD_LINK_CGROUP,    /* BPF_LINK_CREATE with a cgroup directory */
	METHOD_LINK_TRACING,   /* BPF_LINK_CREATE, target fixed at load */
	METHOD_RAW_TRACEPOINT, /* BPF_RAW_TRACEPOINT_OPEN */
	METHOD_PERF,           /* BPF_LINK_CREATE with the broker's event */
	METHOD_KPROBE_MULTI,   /* BPF_LINK_CREATE with a list of symbols */
	METHOD_LINK_NETNS,     /* BPF_LINK_CREATE with a network namespace */
	METHOD_LINK_NETFILTER, /* BPF_LINK_CREATE with hook and priority */
};

struct attach_row {
	const char *name;
	enum attach_target target;
	enum attach_method method;
	uint32_t bpf_attach_type;
	bool link_update;
	const char *sections;
};

/* The row of a kind, NULL if there is none. */
const struct attach_row *attach_row(uint32_t kind);

/* Its name, or that of the same by a tc filter; "unknown".  Static. */
const char *attach_name(uint32_t kind, bool by_filter);

/* The word of an "attach" entry: "interface", "cgroup", "symbol"; ""
 * where it takes none. */
const char *attach_target_name(enum attach_target target);

/*
 * The kind that an ELF section names, and where the target follows in it
 * (NULL if the section names none): "lsm/bprm_check_security".  -ENOENT.
 */
int attach_from_section(
    const char *section, enum attach_kind *kind, const char **target);

#endif
