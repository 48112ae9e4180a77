/* SPDX-License-Identifier: ISC */
/*
 * Questions about BTF types that libbpf has no function for.  The BTF comes
 * from the artifact: loops and members outside their struct are expected.
 */
#ifndef VERIFYD_BTF_TYPE_H
#define VERIFYD_BTF_TYPE_H

#include <bpf/btf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum byte_order { ORDER_HOST, ORDER_BIG, ORDER_LITTLE };

/* A type without its typedefs and qualifiers, and what they said. */
struct btf_resolved {
	const struct btf_type *t; /* NULL: none, or a loop */
	enum byte_order order;    /* by a typedef such as __be16 */
};

struct btf_resolved btf_type_resolve(const struct btf *btf, uint32_t id);

/* The name, "" if it has none. */
const char *btf_type_name(const struct btf *btf, const struct btf_type *t);

/* True for the integer "char", whose arrays are text. */
bool btf_type_is_char(const struct btf *btf, const struct btf_type *t);

/* A member of a struct or union, also of anonymous ones inside. */
struct btf_member_place {
	uint32_t type_id;
	uint32_t bit_offset; /* from the start of the outermost */
	uint32_t bits;       /* of a bit-field, 0: none */
};

/* Find NAME in T.  0 or -ENOENT. */
int btf_type_find_member(const struct btf *btf, const struct btf_type *t,
    const char *name, struct btf_member_place *place);

/* Call FN for each named member, anonymous ones' included. */
void btf_type_each_member(const struct btf *btf, const struct btf_type *t,
    void (*fn)(
	const char *name, const struct btf_member_place *place, void *ctx),
    void *ctx);

/* The names of the members for people, separated by blanks, cut to SIZE. */
void btf_type_member_names(
    const struct btf *btf, const struct btf_type *t, char *out, size_t size);

#endif
