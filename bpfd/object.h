/* SPDX-License-Identifier: ISC */
/*
 * From a verified ELF and its plan to programs and maps in the kernel.  The
 * plan was made from the same bytes by a process that is not trusted; so
 * what it says of the object is compared with what libbpf finds in it, and
 * every write is bounded by the map it goes into.
 */
#ifndef BPFD_OBJECT_H
#define BPFD_OBJECT_H

#include "bpfd/failure.h"
#include "bpfd/kernel.h"
#include "common/loadplan.h"
#include "common/memfd.h"

struct bpf_object;

struct object {
	struct bpf_object *bpf;
	const struct loadplan *plan; /* borrowed */
	struct failure *failure;     /* borrowed; where reasons go */
	char *log;                   /* the verifier's, mapped */
	size_t log_size;
};

/*
 * Open the ELF (borrowed until object_close()), compare it with the plan,
 * set what the plan sets, write global data.  0, or -errno with the reason
 * in O->failure.
 */
int object_open(struct object *o, const struct memfd_map *elf,
    const struct loadplan *plan, const struct kernel *k,
    struct failure *failure) _must_check_;

/*
 * Make the new object use the map in FD (borrowed) at INDEX of the plan, if
 * it is declared in the same way; -EINVAL if it is not.
 */
int object_reuse_map(struct object *o, uint32_t index, int fd) _must_check_;

/*
 * Load, then write the map elements.  After a refusal by the verifier its log
 * is in O->log, terminated.
 */
int object_load(struct object *o, const struct kernel *k) _must_check_;

/* Descriptors of program or map INDEX: owned copies; -1: not loaded. */
int object_dup_prog(const struct object *o, uint32_t index);
int object_dup_map(const struct object *o, uint32_t index);

/* Close everything that was not duplicated.  Safe after any failure. */
void object_close(struct object *o);

#endif
