/* SPDX-License-Identifier: ISC */
/*
 * Links that hang neither at an interface nor at a cgroup: perf events that
 * agentd's broker opened, lists of kernel symbols, the network namespace,
 * netfilter's hooks.
 */
#ifndef BPFD_ATTACH_PROBE_H
#define BPFD_ATTACH_PROBE_H

#include "bpfd/failure.h"
#include "bpfd/kernel.h"
#include "bpfd/load.h"
#include "common/loadplan.h"

/* What this kernel lacks for attachments of that kind; NULL: nothing. */
const char *attach_probe_lacks(uint32_t kind, const struct kernel *k);

/*
 * Attach by METHOD_KPROBE_MULTI, _LINK_NETNS or _LINK_NETFILTER.  BESIDE: the
 * program that this one replaces has the same hook and priority, of which
 * netfilter lets only one program be: take the place behind it.  The link: an
 * owned descriptor, or -errno with the reason in F.
 */
int attach_probe_create(const struct loadplan *plan, uint32_t index,
    int prog_fd, bool beside, const struct kernel *k,
    struct failure *f) _must_check_;

/*
 * Takes FD, the perf event of attachment ATTACH on CPU.  0, -ENOMEM, or
 * -E2BIG: more than any machine needs.
 */
int attach_perf_add(
    struct load *l, uint32_t attach, uint32_t cpu, int fd) _must_check_;

/* Has every attachment by METHOD_PERF an event, and no other one? */
bool attach_perf_is_complete(const struct load *l);

/* Make the links of all events.  0 or -errno with the reason in L. */
int attach_perf_create(struct load *l) _must_check_;

/* Close all events and links. */
void attach_perf_release(struct load *l);

#endif
