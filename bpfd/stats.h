/* SPDX-License-Identifier: ISC */
/*
 * Sampling: what the programs of an artifact have done and cost so far.
 */
#ifndef BPFD_STATS_H
#define BPFD_STATS_H

#include <stdint.h>

#include "bpfd/artifact.h"
#include "bpfd/failure.h"
#include "bpfd/kernel.h"
#include "common/msg.h"

/* Elements of one sampled map; more would make every sample slow. */
#define STATS_MAX_ELEMENTS 4096

/* Bytes of one sampled element over all CPUs. */
#define STATS_MAX_BYTES (256u << 10)

/*
 * Can the maps that the plan's counters lie in be sampled?  0, or -errno
 * with the reason in F.
 */
int stats_check(
    const struct loadplan *plan, int cpus, struct failure *f) _must_check_;

/* Look at the memory of all programs and maps; once, after loading. */
void stats_measure(struct artifact *a, const struct kernel *k);

/*
 * Fill OUT but for its round.  OUT->result is 0 or a negative errno, and the
 * numbers are void then.
 */
void stats_sample(
    struct artifact *a, const struct kernel *k, struct msg_bpf_sampled *out);

/*
 * One counter out of one value of a map: SIZE bytes at OFFSET, host byte
 * order, unsigned; the offsets are the plan's and checked.
 */
uint64_t stats_read_counter(
    const uint8_t *value, const struct loadplan_counter *c);

#endif
