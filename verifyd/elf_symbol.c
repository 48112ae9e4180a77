/* SPDX-License-Identifier: ISC */
#include "verifyd/elf_symbol.h"

#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* The best of the symbols of that name so far. */
struct found {
	const char *symbol;
	int rank; /* 0: none, then local, weak, global */
	uint64_t address;
	bool imported; /* it is there, but lies in another file */
};

static void
end_elf(Elf **elf)
{
	(void)elf_end(*elf);
}

static void
consider(struct found *f, const GElf_Sym *sym)
{
	int bind = GELF_ST_BIND(sym->st_info);
	int rank = bind == STB_GLOBAL ? 3 : bind == STB_WEAK ? 2 : 1;

	if (GELF_ST_TYPE(sym->st_info) != STT_FUNC)
		return;
	if (sym->st_shndx == SHN_UNDEF || sym->st_value == 0) {
		f->imported = true;
		return;
	}
	if (rank <= f->rank)
		return;
	f->rank = rank;
	f->address = sym->st_value;
}

/* Every symbol table there is: .dynsym is all that a stripped file has. */
static void
search(Elf *elf, struct found *f)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header;
	Elf_Data *data;
	const char *name;
	GElf_Sym sym;
	size_t i, n;

	while ((section = elf_nextscn(elf, section)) != NULL) {
		if (gelf_getshdr(section, &header) == NULL ||
		    (header.sh_type != SHT_SYMTAB &&
			header.sh_type != SHT_DYNSYM) ||
		    header.sh_entsize == 0)
			continue;
		data = elf_getdata(section, NULL);
		n = data == NULL ? 0 : data->d_size / header.sh_entsize;
		for (i = 0; i < n && i <= INT32_MAX; i++) {
			if (gelf_getsym(data, (int)i, &sym) == NULL)
				break;
			name = elf_strptr(elf, header.sh_link, sym.st_name);
			if (name != NULL && strcmp(name, f->symbol) == 0)
				consider(f, &sym);
		}
	}
}

/* The segment that holds ADDRESS says where it is in the file. */
static bool
to_offset(Elf *elf, uint64_t address, uint64_t *offset)
{
	GElf_Phdr segment;
	size_t i, n;

	if (elf_getphdrnum(elf, &n) != 0)
		return false;
	for (i = 0; i < n && i <= INT32_MAX; i++) {
		if (gelf_getphdr(elf, (int)i, &segment) == NULL)
			return false;
		if (segment.p_type != PT_LOAD || !(segment.p_flags & PF_X) ||
		    address < segment.p_vaddr ||
		    address - segment.p_vaddr >= segment.p_filesz)
			continue;
		return !__builtin_add_overflow(
		    address - segment.p_vaddr, segment.p_offset, offset);
	}
	return false;
}

int
elf_symbol_offset(
    int fd, const char *symbol, uint64_t *offset, char *error, size_t size)
{
	struct found f = { .symbol = symbol };
	_cleanup_(end_elf) Elf *elf = NULL;

	if (elf_version(EV_CURRENT) == EV_NONE) {
		(void)snprintf(error, size, "libelf: %s", elf_errmsg(-1));
		return -ENOSYS;
	}
	/* Read, not mapped: a file that shrinks must not be a SIGBUS. */
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (elf == NULL || elf_kind(elf) != ELF_K_ELF) {
		(void)snprintf(error, size, "it is no ELF file");
		return -ENOEXEC;
	}
	search(elf, &f);
	if (f.rank == 0) {
		(void)snprintf(error, size,
		    f.imported
			? "\"%s\" is not in it, but in a library it uses"
			: "it has no function \"%s\", or its symbols are "
			  "stripped: an \"offset\" works without",
		    symbol);
		return -ENOENT;
	}
	if (!to_offset(elf, f.address, offset)) {
		(void)snprintf(
		    error, size, "\"%s\" is in no executable segment", symbol);
		return -ENOEXEC;
	}
	return 0;
}
