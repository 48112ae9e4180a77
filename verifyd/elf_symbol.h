/* SPDX-License-Identifier: ISC */
/*
 * Where a function lies in an ELF file: for uprobes.
 */
#ifndef VERIFYD_ELF_SYMBOL_H
#define VERIFYD_ELF_SYMBOL_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

/*
 * The offset in the file FD (borrowed, a regular one) of function SYMBOL.
 * 0, or -errno with the reason in ERROR.
 */
int elf_symbol_offset(int fd, const char *symbol, uint64_t *offset, char *error,
    size_t size) _must_check_;

#endif
