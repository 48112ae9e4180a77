/* SPDX-License-Identifier: GPL-2.0-only OR ISC */
/*
 * The kernel as programs see it: the stable user-space API where there is
 * one, and below it the few members of internal structures that the programs
 * here read.  Those are CO-RE types: the loader relocates every access by the
 * running kernel's BTF, so only names matter, not the layout written here.
 * A program that needs another member adds it, or brings a type of its own
 * with a ___flavour.
 */
#ifndef AEGIS_KERNEL_H
#define AEGIS_KERNEL_H

#include <linux/types.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

#define AF_INET  2
#define AF_INET6 10

#ifndef EPERM
#define EPERM 1
#endif

#pragma clang attribute push(                                                  \
    __attribute__((preserve_access_index)), apply_to = record)

struct path;
struct dentry;
struct vfsmount;

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct path f_path;
};

struct linux_binprm {
	struct file *file;
	const char *filename;
	const char *interp;
};

#pragma clang attribute pop

#endif
