/* SPDX-License-Identifier: ISC */
/*
 * What bpfd opens and finds out about this kernel before its sandbox closes,
 * and cannot afterwards.
 */
#ifndef BPFD_KERNEL_H
#define BPFD_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/limits.h"

struct corebtf;

struct kernel {
	int netdev_fd; /* rtnetlink, for the loader's thread alone */
	int tc_fd;     /* the same, to ask for and change tc filters */
	int nf_fd;     /* nfnetlink: who is at netfilter's hooks; or < 0 */
	int ioctl_fd;  /* a socket, to ask for interfaces by name */
	int cgroup_fd; /* O_PATH of the cgroup2 root; -1: none mounted */
	int fdinfo_fd; /* directory /proc/self/fdinfo */
	int cpus;      /* possible ones: what per-CPU values are sized by */
	bool has_btf;  /* /sys/kernel/btf/vmlinux */
	bool has_tcx;  /* 6.6 */
	bool has_kprobe_multi; /* 5.18, and CONFIG_FPROBE */
	bool has_netfilter;    /* 6.4, and CONFIG_NETFILTER_BPF_LINK */
	uint32_t release;      /* KERNEL_RELEASE(); 0: not known */
	int netns_fd;          /* our network namespace; -1: not to be had */
	bool lsm_known;        /* securityfs says which LSMs are active... */
	bool lsm_bpf;          /* ...and bpf is one of them */
	bool lockdown; /* confidentiality: no reading of kernel memory */
	struct corebtf *corebtf; /* touched by the loader's thread alone */
	/* Once found, it stays; touched by the loader's thread alone. */
	bool *cls_bpf_built_in; /* NULL: asked each time */
	uint32_t filter_owner;  /* this agent's mark in tc filters' names */
	char cgroup_root[AEGIS_PATH_SIZE]; /* without a '/' at its end */
};

#define KERNEL_RELEASE(major, minor) ((uint32_t)(major) << 16 | (minor))

/* "6.1.0-18-amd64" as KERNEL_RELEASE(6, 1); 0 for what is none. */
uint32_t kernel_parse_release(const char *text);

/* kernel_features.c: fill in release and what it takes a try to know. */
void kernel_probe_features(struct kernel *k);

/* Open and probe.  CGROUP_ROOT: "" for none.  0 or -errno after logging. */
int kernel_open(struct kernel *k, const char *cgroup_root) _must_check_;
void kernel_close(struct kernel *k);

/* The interface's index, or -ENODEV, or -EINVAL for what is no name. */
int kernel_interface(const struct kernel *k, const char *name) _must_check_;

/*
 * The part of TARGET below the root: absolute below ROOT, or relative to it
 * with or without a leading '/'; "." for the root itself.  Points into
 * TARGET, or is static.
 */
const char *kernel_cgroup_relative(const char *root, const char *target);

/* Open a cgroup's directory: owned descriptor or -errno. */
int kernel_open_cgroup(const struct kernel *k, const char *target) _must_check_;

/*
 * Does LIST, comma-separated as securityfs has it, hold WORD?  Brackets
 * around a word (the active one of several) do not count.
 */
bool kernel_list_has(const char *list, const char *word);

/*
 * Memory of a program or map in bytes, from /proc/self/fdinfo; 0 when it
 * cannot be had.
 */
uint64_t kernel_fd_memory(const struct kernel *k, int fd);

/* The number after "memlock:" in a file of fdinfo; 0 if there is none. */
uint64_t kernel_parse_memlock(const char *text);

#endif
