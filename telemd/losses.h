/* SPDX-License-Identifier: ISC */
/*
 * Events that found their ring full.  The program counts them, and tells the
 * count with its next event; what it counted since is in the map aegis_lost
 * (aegis/report.h), which is looked at here: a program that falls silent, or
 * goes, has lost no less.
 */
#ifndef TELEMD_LOSSES_H
#define TELEMD_LOSSES_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

struct losses {
	void *page; /* NULL: the program does not count */
	size_t size;
};

/*
 * Map the first page of the array map FD (borrowed).  -errno of mmap(2):
 * -EINVAL when the map was not made to be mapped.
 */
int losses_map(struct losses *l, int fd) _must_check_;
void losses_unmap(struct losses *l);

/* Events that were lost and that no event told of yet. */
uint64_t losses_untold(const struct losses *l);

#endif
