/* SPDX-License-Identifier: ISC */
#include "bpfd/corebtf.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <gelf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpfd/corebtf_names.h"

/* A reduced BTF is some ten KiB; objects come back in new versions. */
#define CACHE_SIZE 16

struct entry {
	char *key; /* the names that it was made for; NULL: unused */
	int fd;
	uint64_t used;
};

struct corebtf {
	struct entry entries[CACHE_SIZE];
	uint64_t clock;
};

struct corebtf *
corebtf_new(void)
{
	struct corebtf *c = calloc(1, sizeof(*c));
	size_t i;

	for (i = 0; c != NULL && i < CACHE_SIZE; i++)
		c->entries[i].fd = -1;
	return c;
}

void
corebtf_free(struct corebtf *c)
{
	size_t i;

	for (i = 0; c != NULL && i < CACHE_SIZE; i++) {
		free(c->entries[i].key);
		fd_close(&c->entries[i].fd);
	}
	free(c);
}

/* The header of .BTF.ext, as far as it is of interest; btf.h of the kernel
 * does not have it. */
struct ext_header {
	uint16_t magic;
	uint8_t version;
	uint8_t flags;
	uint32_t hdr_len;
	uint32_t func_info_off;
	uint32_t func_info_len;
	uint32_t line_info_off;
	uint32_t line_info_len;
	uint32_t core_relo_off;
	uint32_t core_relo_len;
};

static bool
has_core_relocations(Elf *elf)
{
	struct ext_header header;
	Elf_Scn *scn = NULL;
	const char *name;
	GElf_Shdr shdr;
	Elf_Data *data;
	size_t names;

	if (elf_getshdrstrndx(elf, &names) != 0)
		return true;
	while ((scn = elf_nextscn(elf, scn)) != NULL) {
		if (gelf_getshdr(scn, &shdr) == NULL)
			return true;
		name = elf_strptr(elf, names, shdr.sh_name);
		if (name == NULL || strcmp(name, ".BTF.ext") != 0)
			continue;
		data = elf_getdata(scn, NULL);
		if (data == NULL || data->d_size < 24)
			return true;
		memset(&header, 0, sizeof(header));
		memcpy(&header, data->d_buf,
		    data->d_size < sizeof(header) ? data->d_size
						  : sizeof(header));
		/* A header without these two fields is of an old compiler. */
		return header.hdr_len >= sizeof(header) &&
		    header.core_relo_len > 0;
	}
	return false;
}

bool
corebtf_is_needed(const struct memfd_map *map)
{
	bool needed;
	Elf *elf;

	if (elf_version(EV_CURRENT) == EV_NONE)
		return true;
	elf = elf_memory((char *)(uintptr_t)map->data, map->len);
	if (elf == NULL)
		return true;
	needed = has_core_relocations(elf);
	(void)elf_end(elf);
	return needed;
}

/* Make the file for that object's BTF: owned descriptor, or -errno. */
static int
make_file(const struct btf *object)
{
	struct btf *kernel, *reduced;
	const void *raw = NULL;
	uint32_t size;
	int fd = -ENOMEM;

	kernel = btf__parse(COREBTF_VMLINUX, NULL);
	if (kernel == NULL)
		return -errno;
	reduced = corebtf_reduce(kernel, object);
	if (reduced != NULL)
		raw = btf__raw_data(reduced, &size);
	if (raw != NULL)
		fd = memfd_from_bytes("core-btf", raw, size);
	btf__free(reduced);
	btf__free(kernel);
	return fd;
}

/* The entry of that key, made if need be; -1: it cannot be. */
static int
lookup(struct corebtf *c, const struct btf *object)
{
	_cleanup_free_ char *key = names_key(object);
	struct entry *e, *oldest = &c->entries[0];
	size_t i;
	int fd;

	if (key == NULL)
		return -1;
	c->clock++;
	for (i = 0; i < CACHE_SIZE; i++) {
		e = &c->entries[i];
		if (e->key != NULL && strcmp(e->key, key) == 0) {
			e->used = c->clock;
			return e->fd;
		}
		if (e->used < oldest->used)
			oldest = e;
	}
	fd = make_file(object);
	if (fd < 0)
		return -1;
	free(oldest->key);
	fd_close(&oldest->fd);
	oldest->key = key;
	oldest->fd = fd;
	oldest->used = c->clock;
	key = NULL;
	return fd;
}

bool
corebtf_find(struct corebtf *c, const struct memfd_map *elf,
    char path[COREBTF_PATH_SIZE])
{
	struct bpf_object *object;
	const struct btf *btf;
	int fd = -1;

	(void)snprintf(path, COREBTF_PATH_SIZE, "%s", COREBTF_VMLINUX);
	if (!corebtf_is_needed(elf))
		return false;
	if (c == NULL)
		return true;
	object = bpf_object__open_mem(elf->data, elf->len, NULL);
	btf = object == NULL ? NULL : bpf_object__btf(object);
	if (btf != NULL)
		fd = lookup(c, btf);
	bpf_object__close(object);
	if (fd >= 0)
		(void)snprintf(path, COREBTF_PATH_SIZE, "/proc/self/fd/%d", fd);
	return true;
}
