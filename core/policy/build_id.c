/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_id.c - which build of a shared object is loaded.
 *
 * Read from the object's image in memory: the file may have been replaced since. Called by blob.c.
 */
#include <core/policy/blob.h>
#include <elf.h>
#include <link.h>

#define ALIGN4(n) (((n) + 3u) & ~(size_t)3u)

struct wanted {
	uintptr_t address;
	unsigned char *ret;
	size_t len;
};

static void
read_notes(const char *at, size_t len, struct wanted *wanted)
{
	while (len >= sizeof(ElfW(Nhdr)) && wanted->len == 0) {
		ElfW(Nhdr) note;
		size_t name, size;

		memcpy(&note, at, sizeof(note));
		name = sizeof(note);
		size = name + ALIGN4(note.n_namesz) + ALIGN4(note.n_descsz);
		if (size > len)
			return;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
		    memcmp(at + name, "GNU", 4) == 0 && note.n_descsz <= BUILD_ID_MOST) {
			memcpy(wanted->ret, at + name + 4, note.n_descsz);
			wanted->len = note.n_descsz;
		}
		at += size;
		len -= size;
	}
}

static bool
holds(const struct dl_phdr_info *info, uintptr_t address)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		uintptr_t begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;

		if (info->dlpi_phdr[i].p_type == PT_LOAD && address >= begin &&
		    address - begin < info->dlpi_phdr[i].p_memsz)
			return true;
	}
	return false;
}

static int
look_at(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct wanted *wanted = arg;

	if (!holds(info, wanted->address))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_NOTE)
			read_notes((const char *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr),
			    info->dlpi_phdr[i].p_memsz, wanted);
	return 1;
}

size_t
build_id_of(const void *address, unsigned char ret[BUILD_ID_MOST])
{
	struct wanted wanted = { (uintptr_t)address, ret, 0 };

	dl_iterate_phdr(look_at, &wanted);
	return wanted.len;
}
