/* SPDX-License-Identifier: Apache-2.0 */
/* config_memory.h - a folder "c" in memory, for tests of core/config. */
#ifndef TESTS_CONFIG_MEMORY_H
#define TESTS_CONFIG_MEMORY_H

#include <core/config/source.h>
#include <errno.h>
#include <stdlib.h>

/* What !file finds. */
static const struct {
	const char *path, *data;
	mode_t mode;
} memory_files[] = {
	{ "c/words", "first\n\nsecond\r\nthird\n", 0644 },
	{ "c/one", "one line\n", 0644 },
	{ "c/secret", "s3cret\n", 0600 },
	{ "c/open", "s3cret\n", 0604 },
	{ "c/empty", "\n", 0600 },
	{ "c/binary", "\xff\xfe", 0600 },
	{ "c/number", "12k", 0644 },
	{ "/abs/secret", "two\nlines\r\n", 0400 },
};

struct memory {
	struct source source;
	const char *text, *other; /* a.yaml and, unless NULL, b.yaml */
};

static inline int
memory_list(struct source *source, const char *folder, struct buf *ret, struct pn_error *err)
{
	const struct memory *memory = (const struct memory *)source;

	return buf_add(ret, "a.yaml\0b.yaml", memory->other ? 14 : 7);
}

static inline int
memory_read(struct source *source, const char *path, struct source_file *ret, struct pn_error *err)
{
	const struct memory *memory = (const struct memory *)source;
	const char *data = NULL;
	mode_t mode = 0644;

	if (strcmp(path, "c/a.yaml") == 0)
		data = memory->text;
	else if (strcmp(path, "c/b.yaml") == 0)
		data = memory->other;
	for (size_t i = 0; i < sizeof(memory_files) / sizeof(*memory_files); i++) {
		if (strcmp(path, memory_files[i].path) == 0) {
			data = memory_files[i].data;
			mode = memory_files[i].mode;
		}
	}
	if (!data)
		return pn_error_set(err, -ENOENT, "cannot read %s", path);
	*ret = (struct source_file){ strdup(data), strlen(data), mode };
	return 0;
}

static inline void
memory_free(struct source *source)
{
}

static inline struct memory
memory_of(const char *text, const char *other)
{
	static const struct source_ops ops = { memory_list, memory_read, memory_free };

	return (struct memory){ { &ops }, text, other };
}

#endif
