/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.c - fuzz target: any bytes as a configuration, through tree, core sections and bundle.
 *
 * Two files: the input is cut at the first byte 0x00. Files asked for by `!file` hold a few bytes.
 */
#include <core/config/relay.h>
#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct memory {
	struct source source;
	struct pn_slice files[2];
};

static int
memory_list(struct source *source, const char *folder, struct buf *ret, struct pn_error *err)
{
	return buf_add(ret, "0.yaml\0001.yaml", 14);
}

static int
memory_read(struct source *source, const char *path, struct source_file *ret, struct pn_error *err)
{
	const struct memory *memory = (const struct memory *)source;
	struct pn_slice bytes = pn_slice_of("one\ntwo\n");

	if (strcmp(path, "c/0.yaml") == 0 || strcmp(path, "c/1.yaml") == 0)
		bytes = memory->files[path[2] - '0'];
	*ret = (struct source_file){ malloc(bytes.len + 1), bytes.len, 0600 };
	if (!ret->data)
		return pn_error_set(err, -ENOMEM, "out of memory");
	if (bytes.len > 0)
		memcpy(ret->data, bytes.data, bytes.len);
	ret->data[bytes.len] = '\0';
	return 0;
}

static void
memory_free(struct source *source)
{
}

static void
read_config(struct source *source)
{
	struct settings_secrets *secrets = NULL;
	struct diags diags = { 0 };
	struct arena arena = { 0 };
	struct config_tree tree;
	struct config_core core;

	if (config_tree_load(&tree, source, "c", &diags, NULL) == 0) {
		config_core_fill(&tree, &arena, &secrets, &diags, &core);
		config_tree_free(&tree);
		diags_sort(&diags);
		for (size_t i = 0; i < diags.count; i++)
			if (strchr(diag_format(&diags.items[i], &arena), '\n'))
				abort();
	}
	settings_secrets_free(&secrets);
	arena_free(&arena);
	diags_free(&diags);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct source_ops ops = { memory_list, memory_read, memory_free };
	struct memory memory = { .source = { &ops } };
	const uint8_t *cut = size > 0 ? memchr(data, 0, size) : NULL;
	size_t first = cut ? (size_t)(cut - data) : size;
	struct source *bundle;

	memory.files[0] = pn_slice(data, first);
	memory.files[1] = cut ? pn_slice(cut + 1, size - first - 1) : pn_slice("", 0);
	read_config(&memory.source);
	if (source_bundle(pn_slice(data, size), &bundle, NULL) == 0) {
		read_config(bundle);
		source_free(&bundle);
	}
	return 0;
}
