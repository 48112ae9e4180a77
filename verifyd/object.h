/* SPDX-License-Identifier: ISC */
/*
 * program.o opened with libbpf, for looking only: nothing is loaded and
 * bpf(2) is never called.
 */
#ifndef VERIFYD_OBJECT_H
#define VERIFYD_OBJECT_H

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/cleanup.h"
#include "common/limits.h"
#include "common/loadplan.h"
#include "verifyd/problems.h"

struct object {
	struct bpf_object *bpf;         /* owned */
	const struct btf *btf;          /* NULL if the object has none */
	char name[AEGIS_BPF_NAME_SIZE]; /* makes the internal maps' names */
	struct bpf_program *progs[LOADPLAN_MAX_PROGS];
	unsigned int prog_count;
	struct bpf_map *maps[LOADPLAN_MAX_MAPS]; /* in libbpf's order */
	unsigned int map_count;
};

/*
 * Open LEN bytes of ELF at DATA, which must outlive O.  ARTIFACT_NAME gives
 * the object's name.  0, or -EBADMSG after a problem was added.
 */
int object_open(struct object *o, const void *data, size_t len,
    const char *artifact_name, struct problems *problems) _must_check_;
void object_close(struct object *o);

/* Indices by name; -ENOENT. */
int object_find_prog(const struct object *o, const char *name);
int object_find_map(const struct object *o, const char *name);

/* A global variable: where it lies. */
struct object_global {
	unsigned int map; /* index of the internal map */
	uint32_t offset;  /* in its initial value, bytes */
	uint32_t size;    /* bytes */
	uint32_t type_id; /* of the value */
};

/* 0; -ENOENT: none of that name in .rodata, .data or .bss. */
int object_find_global(const struct object *o, const char *name,
    struct object_global *global) _must_check_;

/*
 * Call FN with the name of each global until it returns false.  Returns the
 * last answer.
 */
bool object_each_global(const struct object *o,
    bool (*fn)(const char *name, const struct object_global *g, void *ctx),
    void *ctx);

#define _cleanup_object_ _cleanup_(object_close)

#endif
