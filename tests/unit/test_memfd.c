/* SPDX-License-Identifier: ISC */
#include "common/memfd.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/unit/unit.h"

START_TEST (sealed_bytes_are_the_same_for_ever) {
	_cleanup_fd_ int fd = memfd_from_bytes("t", "hello", 5);
	_cleanup_memfd_map_ struct memfd_map map = { 0 };

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(write(fd, "x", 1), -1);
	ck_assert_int_eq(ftruncate(fd, 0), -1);
	ck_assert_int_eq(ftruncate(fd, 100), -1);
	ck_assert_ptr_eq(
	    mmap(NULL, 5, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0),
	    MAP_FAILED);
	ck_assert_int_eq(memfd_map(fd, 5, &map), 0);
	ck_assert_uint_eq(map.len, 5);
	ck_assert_int_eq(memcmp(map.data, "hello", 5), 0);
}
END_TEST

START_TEST (what_is_not_sealed_is_not_mapped) {
	_cleanup_fd_ int plain = memfd_create("t", MFD_ALLOW_SEALING);
	_cleanup_fd_ int half = memfd_create("t", MFD_ALLOW_SEALING);
	_cleanup_fd_ int file = open("/proc/self/exe", O_RDONLY);
	_cleanup_fd_ int shm =
	    open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int p[2];
	struct memfd_map map;

	ck_assert_int_eq(pipe(p), 0);
	ck_assert_int_eq(fcntl(half, F_ADD_SEALS, F_SEAL_WRITE), 0);
	ck_assert_int_eq(memfd_map(plain, 100, &map), -EPERM);
	ck_assert_int_eq(memfd_map(half, 100, &map), -EPERM);
	ck_assert_int_eq(memfd_map(file, 1 << 30, &map), -EPERM);
	ck_assert_int_eq(memfd_map(p[0], 100, &map), -EPERM);
	/* Files of any tmpfs answer F_GET_SEALS, too. */
	if (shm >= 0)
		ck_assert_int_eq(memfd_map(shm, 100, &map), -EPERM);
	ck_assert_int_eq(memfd_map(-1, 100, &map), -EPERM);
	ck_assert_ptr_null(map.data);
	(void)close(p[0]);
	(void)close(p[1]);
}
END_TEST

START_TEST (size_is_checked_before_mapping) {
	_cleanup_fd_ int fd = memfd_from_bytes("t", "hello", 5);
	_cleanup_fd_ int empty = memfd_from_bytes("t", NULL, 0);
	struct memfd_map map;

	ck_assert_int_eq(memfd_map(fd, 4, &map), -EFBIG);
	ck_assert_int_eq(memfd_map(empty, 4, &map), 0);
	ck_assert_ptr_null(map.data);
	memfd_unmap(&map);
}
END_TEST

START_TEST (a_mapped_buffer_cannot_be_sealed) {
	_cleanup_fd_ int fd = memfd_create_buffer("t");
	void *p;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 4096), 0);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	ck_assert_int_eq(memfd_seal(fd), -EBUSY);
	(void)munmap(p, 4096);
	ck_assert_int_eq(memfd_seal(fd), 0);
}
END_TEST

UNIT_MAIN("memfd", sealed_bytes_are_the_same_for_ever,
    what_is_not_sealed_is_not_mapped, size_is_checked_before_mapping,
    a_mapped_buffer_cannot_be_sealed)
