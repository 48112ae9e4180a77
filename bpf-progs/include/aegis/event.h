/* SPDX-License-Identifier: GPL-2.0-only OR ISC */
/*
 * What a program says to the agent: a record in the ring buffer named
 * aegis_events.  This is the ABI between programs and the agent: fields are
 * only ever added at the end, under a new AEGIS_EVENT_VERSION; the agent
 * reads older and shorter records.  aegis-bpf(7) is the manual.
 *
 * Included by BPF programs (after a header that has __u8 .. __u64) and by
 * the agent.
 */
#ifndef AEGIS_EVENT_H
#define AEGIS_EVENT_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define AEGIS_EVENT_VERSION  2
#define AEGIS_EVENT_COMM_LEN 16
#define AEGIS_EVENT_PATH_LEN 128

enum aegis_verdict {
	AEGIS_VERDICT_NONE = 0, /* seen, nothing decided */
	AEGIS_VERDICT_ALLOW = 1,
	AEGIS_VERDICT_DENY = 2,
	AEGIS_VERDICT_DROP = 3,
	AEGIS_VERDICT_AUDIT = 4, /* would have been denied */
};

enum aegis_event_kind {
	AEGIS_EVENT_OTHER = 0,
	AEGIS_EVENT_NETWORK = 1, /* family, protocol, addresses, ports */
	AEGIS_EVENT_EXEC = 2,    /* path */
	AEGIS_EVENT_FILE = 3,    /* path */
};

struct aegis_event {
	__u16 version; /* AEGIS_EVENT_VERSION */
	__u16 kind;    /* enum aegis_event_kind */
	__u16 verdict; /* enum aegis_verdict */
	__u16 family;  /* AF_INET 2, AF_INET6 10; 0: no addresses */
	__u64 time_ns; /* bpf_ktime_get_boot_ns() */
	__u64 cgroup_id;
	__u32 pid; /* of the process (tgid); 0 in interrupt context */
	__u32 tid;
	__u32 uid;
	__u32 gid;
	__u32 ifindex;
	__u16 sport;    /* host byte order */
	__u16 dport;    /* host byte order */
	__u8 saddr[16]; /* network order; IPv4 in the first four bytes */
	__u8 daddr[16];
	__u8 protocol; /* IPPROTO_* */
	__u8 reserved[3];
	__u32 rule;  /* which rule of the program; the author's numbering */
	__u64 value; /* a number of the author's choice */
	char comm[AEGIS_EVENT_COMM_LEN];
	char path[AEGIS_EVENT_PATH_LEN]; /* "" where none */
	/* since version 2 */
	__u64 lost; /* events that found the ring full since the last one */
};

#endif
