/* SPDX-License-Identifier: ISC */
#include "telemd/losses.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

int
losses_map(struct losses *l, int fd)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

	if (page == MAP_FAILED)
		return -errno;
	losses_unmap(l);
	*l = (struct losses){ page, size };
	return 0;
}

void
losses_unmap(struct losses *l)
{
	if (l->page != NULL)
		(void)munmap(l->page, l->size);
	*l = (struct losses){ 0 };
}

uint64_t
losses_untold(const struct losses *l)
{
	if (l->page == NULL)
		return 0;
	return __atomic_load_n((const uint64_t *)l->page, __ATOMIC_RELAXED);
}
