/* SPDX-License-Identifier: ISC */
/*
 * Who has a hook that takes one program, and somebody has it already: the
 * number of that program.  Its name is for agentd to find (agentd/holder.h):
 * numbers become descriptors only with CAP_SYS_ADMIN.
 */
#ifndef BPFD_HOLDER_H
#define BPFD_HOLDER_H

#include <linux/rtnetlink.h>

#include "bpfd/kernel.h"

/* Of XDP on an interface; 0: nobody, or not to be found out. */
uint32_t holder_of_xdp(const struct kernel *k, uint32_t ifindex);

/* Of a cgroup (its directory) or network namespace, for that attach type. */
uint32_t holder_of_hook(int target_fd, uint32_t bpf_attach_type, bool cgroup);

/*
 * Of a priority at a hook of netfilter, which nfnetlink_hook tells if the
 * kernel has it.
 */
uint32_t holder_of_netfilter(
    const struct kernel *k, uint32_t family, uint32_t hook, int32_t priority);

/* The number in nfnetlink's message of a hook; 0: another priority, or what
 * is there is no BPF program. */
uint32_t holder_parse_netfilter(const struct nlmsghdr *h, int32_t priority);

/* The number in an RTM_NEWLINK; 0: none. */
uint32_t holder_parse_xdp(const struct nlmsghdr *h);

#endif
