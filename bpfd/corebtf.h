/* SPDX-License-Identifier: ISC */
/*
 * The part of the kernel's BTF that one object's CO-RE relocations can ask
 * about, kept for the next time.  Parsing all of vmlinux's BTF is most of
 * what loading a CO-RE object costs.
 *
 * What is left out cannot change what is loaded.  libbpf looks for a type by
 * name, then at its members by value; behind a pointer in a structure it
 * looks at names and kinds alone.  So for every name in the object's own BTF
 * all types of that name are kept, with everything that they contain by
 * value, and structures behind pointers become forward declarations.
 */
#ifndef BPFD_COREBTF_H
#define BPFD_COREBTF_H

#include <stdbool.h>
#include <stddef.h>

#include "common/cleanup.h"
#include "common/memfd.h"

#define COREBTF_VMLINUX   "/sys/kernel/btf/vmlinux"
#define COREBTF_PATH_SIZE 32

struct btf;
struct corebtf;

/* An empty cache, for one thread; NULL when there is no memory. */
struct corebtf *corebtf_new(void);
void corebtf_free(struct corebtf *c); /* NULL is ignored */

/*
 * Where libbpf finds the BTF for the object in ELF: PATH, good until the next
 * call, or COREBTF_VMLINUX when it could not be made.  False: the object has
 * no CO-RE relocations and needs none.
 */
bool corebtf_find(struct corebtf *c, const struct memfd_map *elf,
    char path[COREBTF_PATH_SIZE]);

/* Has the object CO-RE relocations?  True also when it cannot be told. */
bool corebtf_is_needed(const struct memfd_map *elf);

/* The length of NAME without a "___flavour" at its end, as libbpf has it. */
size_t corebtf_essential_len(const char *name);

/* The part of KERNEL that OBJECT can ask about: owned; NULL on failure. */
struct btf *corebtf_reduce(const struct btf *kernel, const struct btf *object);

#endif
