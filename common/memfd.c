/* SPDX-License-Identifier: ISC */
#include "common/memfd.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/fdio.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

int
memfd_create_buffer(const char *name)
{
	int fd;

	fd = memfd_create(
	    name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd == -1 && errno == EINVAL) /* before 6.3 */
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd == -1 ? -errno : fd;
}

int
memfd_seal(int fd)
{
	if (fcntl(fd, F_ADD_SEALS, SEALS) == -1)
		return -errno;
	return 0;
}

int
memfd_from_bytes(const char *name, const void *data, size_t len)
{
	_cleanup_fd_ int fd = -1;
	int r;

	fd = memfd_create_buffer(name);
	if (fd < 0)
		return fd;
	r = fd_write_all(fd, data, len);
	if (r < 0)
		return r;
	r = memfd_seal(fd);
	if (r < 0)
		return r;
	return fd_steal(&fd);
}

int
memfd_map(int fd, size_t max, struct memfd_map *map)
{
	struct stat st;
	void *p;
	int seals;

	map->data = NULL;
	map->len = 0;
	/*
	 * Files of any tmpfs answer F_GET_SEALS too, with F_SEAL_SEAL alone:
	 * only the whole mask says that nobody can change the bytes.
	 */
	seals = fcntl(fd, F_GET_SEALS);
	if (seals == -1 || (seals & ~F_SEAL_EXEC) != SEALS)
		return -EPERM;
	if (fstat(fd, &st) == -1)
		return -errno;
	if (st.st_size < 0 || (size_t)st.st_size > max)
		return -EFBIG;
	if (st.st_size == 0)
		return 0;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	map->data = p;
	map->len = (size_t)st.st_size;
	return 0;
}

void
memfd_unmap(struct memfd_map *map)
{
	if (map->data != NULL)
		(void)munmap((void *)(uintptr_t)map->data, map->len);
	map->data = NULL;
	map->len = 0;
}
