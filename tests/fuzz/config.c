/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.c - fuzz target: any bytes as a configuration, through tree, core sections, the scopes of
 * a section "m" and bundle.
 *
 * Two files: the input is cut at the first byte 0x00. Files asked for by `!file` hold a few bytes.
 */
#include <core/config/relay.h>
#include <core/config/scopes.h>
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

struct m_inner {
	int64_t number;
	const char *fixed;
};
struct m {
	const char *text;
	struct pn_strings words;
	struct m_inner group;
	struct pn_map map;
	struct pn_list list;
	const struct pn_secret *secret;
};
static const struct pn_option m_inner_options[] = { PN_OPT_INT("number", struct m_inner, number,
							"1", 0, 9, 0, "A number."),
	PN_OPT_STRING("fixed", struct m_inner, fixed, NULL, 0, "A text."), PN_OPT_END };
static const struct pn_option m_options[] = { PN_OPT_STRING("text", struct m, text, NULL,
						  PN_REQUIRED | PN_SCOPED, "A text."),
	PN_OPT_STRINGS("words", struct m, words, "[a]", PN_SCOPED, "Words."),
	PN_OPT_GROUP("group", struct m, group, struct m_inner, m_inner_options, PN_SCOPED, "Both."),
	PN_OPT_MAP("map", struct m, map, struct m_inner, m_inner_options, PN_SCOPED, "A map."),
	PN_OPT_LIST("list", struct m, list, struct m_inner, m_inner_options, 0, "A list."),
	PN_OPT_SECRET("secret", struct m, secret, PN_SCOPED, "A secret."), PN_OPT_END };

struct filling {
	const struct scopes *scopes;
	struct scopes_fill to;
};

static void
fill_stack(void *arg, const struct scope_stack *stack)
{
	struct filling *filling = arg;
	struct settings settings;
	bool enabled;

	scopes_fill(filling->scopes, stack, &filling->to, &settings, &enabled, NULL);
}

/* Twice: the second time without the files, as a relay does it. */
static void
read_scopes(struct config_tree *tree, const struct config_directory *directory, struct arena *arena,
    struct settings_secrets **secrets, struct diags *diags)
{
	struct scopes_how how = { .tree = tree,
		.directory = directory,
		.where = "m",
		.rows = m_options,
		.row_size = sizeof(struct pn_option),
		.size = sizeof(struct m),
		.arena = arena };
	static const struct scope_stack none = { 0 };
	struct scopes scopes;
	struct filling filling = { &scopes, { arena, secrets, diags } };
	struct settings settings;
	const char *lacking;
	bool enabled;

	scopes_read(&how, diags, &scopes);
	scopes_fill(&scopes, &none, &filling.to, &settings, &enabled, &lacking);
	scopes_each(&scopes, fill_stack, &filling);
	tree->source = NULL;
	scopes_each(&scopes, fill_stack, &filling);
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
		read_scopes(&tree, &core.directory, &arena, &secrets, &diags);
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
