/* SPDX-License-Identifier: ISC */
/*
 * CRC-32C (Castagnoli), as iSCSI and ext4 use it: finds torn and rotten
 * bytes in what the agent keeps on disk.  It is no protection against
 * anybody who means harm.
 */
#ifndef COMMON_CRC32C_H
#define COMMON_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * The checksum of what CRC stands for followed by LEN bytes at DATA.  CRC is
 * 0 at first: crc32c(crc32c(0, a), b) is the checksum of a and b.
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

#endif
