/* SPDX-License-Identifier: ISC */
/*
 * Names of an object's types, by which CO-RE looks for types of the kernel.
 */
#ifndef BPFD_COREBTF_NAMES_H
#define BPFD_COREBTF_NAMES_H

#include <stdbool.h>
#include <stdint.h>

struct btf;
struct btf_type;

struct names {
	char **list; /* sorted, each once, without flavours */
	uint32_t count;
	uint8_t maybe[8192]; /* a bit a hash: most names are not in here */
};

/* Of every named type that a relocation can start from.  0 or -ENOMEM. */
int names_collect(struct names *n, const struct btf *object)
    __attribute__((warn_unused_result));
void names_free(struct names *n);

/* Is NAME, without its flavour, one of them? */
bool names_have(const struct names *n, const char *name);

/* Can a relocation start from a type of this kind? */
bool names_is_root(const struct btf_type *t);

/* All names in one string; equal for objects that ask for the same.  Owned;
 * NULL when there is no memory. */
char *names_key(const struct btf *object);

#endif
