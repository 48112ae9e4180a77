/* SPDX-License-Identifier: ISC */
/*
 * Parameters that go into maps: the plan's WRITE_ELEMENT records.
 */
#ifndef BPFD_ELEMENTS_H
#define BPFD_ELEMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpfd/failure.h"
#include "common/loadplan.h"

/* Does a map of this type hold one value for each CPU? */
bool element_is_per_cpu(uint32_t map_type);

/*
 * May a plan write elements of a map of this type?  Plain data only: in maps
 * of descriptors a value would name one of bpfd's own.
 */
bool element_is_writable(uint32_t map_type);

/* Bytes of one value as the system call wants it; 0 if that overflows. */
size_t element_value_bytes(uint32_t map_type, uint32_t value_size, int cpus);

/*
 * VALUE as the system call wants it, for per-CPU maps once for each CPU; NULL
 * for zeros.  Owned by the caller (free()); NULL: no memory.
 */
uint8_t *element_expand(
    const struct loadplan_map *m, const uint8_t *value, int cpus);

/* Why an update of an element failed, for people. */
const char *element_reason(int error);

/*
 * Carry out write INDEX of the plan on the map in FD (borrowed): per-CPU maps
 * get the same value for every CPU.  0, or -errno with the reason in F.
 */
int element_write(const struct loadplan *plan, uint32_t index, int fd, int cpus,
    struct failure *f) _must_check_;

#endif
