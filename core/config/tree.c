/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.c - the files of a folder, merged into one tree.
 *
 * Called once per check or reload. A file that cannot be read, or not to its end, is a complaint
 * and marks the tree as incomplete, so that what it lacks is not complained of once more.
 */
#include <core/config/parse.h>
#include <core/config/tree.h>
#include <errno.h>
#include <glib.h>
#include <stdlib.h>

#define NAMES_MOST (1024u * 1024)

struct config_node *
config_node_get(const struct config_node *map, const char *key)
{
	if (!map || map->kind != CONFIG_MAP)
		return NULL;
	for (size_t i = 0; i < map->count; i++)
		if (strcmp(map->keys[i]->text, key) == 0)
			return map->items[i];
	return NULL;
}

static void merge_map(struct config_tree *tree, struct config_node *into, struct config_node *from,
    struct diags *diags);

/* The same key in two files: maps merge, an empty value gives way, anything else is a conflict. */
static void
merge_value(struct config_tree *tree, struct config_node *into, size_t at, struct config_node *key,
    struct config_node *value, struct diags *diags)
{
	struct config_node *old = into->items[at];
	const struct config_mark *first = &into->keys[at]->mark;

	if (config_node_is_null(value))
		return;
	if (config_node_is_null(old)) {
		into->keys[at] = key;
		into->items[at] = value;
	} else if (old->kind == CONFIG_MAP && value->kind == CONFIG_MAP) {
		merge_map(tree, old, value, diags);
	} else {
		diag_add(diags, DIAG_ERROR, key->mark, "\"%s\" is given twice; first at %s:%u:%u",
		    key->text, first->file, first->line, first->column);
	}
}

static void
merge_map(struct config_tree *tree, struct config_node *into, struct config_node *from,
    struct diags *diags)
{
	GHashTable *known = g_hash_table_new(g_str_hash, g_str_equal);

	for (size_t i = 0; i < into->count; i++)
		g_hash_table_insert(
		    known, (void *)(uintptr_t)into->keys[i]->text, GSIZE_TO_POINTER(i + 1));
	for (size_t i = 0; i < from->count; i++) {
		size_t at = GPOINTER_TO_SIZE(g_hash_table_lookup(known, from->keys[i]->text));

		if (at > 0)
			merge_value(tree, into, at - 1, from->keys[i], from->items[i], diags);
		else
			config_node_add(&tree->arena, into, from->keys[i], from->items[i]);
	}
	g_hash_table_destroy(known);
}

static void
load_file(
    struct config_tree *tree, const char *path, struct parse_budget *budget, struct diags *diags)
{
	struct config_mark mark = { .file = path };
	struct source_file file = { 0 };
	struct config_node *root;
	struct pn_error err = { 0 };
	bool whole;

	if (tree->source->ops->read(tree->source, path, &file, &err) < 0) {
		diag_add(diags, DIAG_ERROR, mark, "%s", err.text);
		tree->incomplete = true;
		return;
	}
	root = parse_yaml(pn_slice(file.data, file.len), path, &tree->arena, budget, diags, &whole);
	explicit_bzero(file.data, file.len); /* somebody may have written a password in it */
	free(file.data);
	if (!whole)
		tree->incomplete = true;
	if (!root || config_node_is_null(root))
		return;
	if (root->kind == CONFIG_MAP)
		merge_map(tree, tree->root, root, diags);
	else
		diag_add(diags, DIAG_ERROR, root->mark,
		    "a file holds sections, as in \"relay:\" with its options below");
}

int
config_tree_load(struct config_tree *tree, struct source *source, const char *folder,
    struct diags *diags, struct pn_error *err)
{
	struct buf names = BUF_INIT(NAMES_MOST);
	struct parse_budget budget = { 0 };
	size_t len = strlen(folder);
	int r;

	while (len > 1 && folder[len - 1] == '/')
		len--;
	*tree = (struct config_tree){ .source = source };
	tree->folder = arena_slice(&tree->arena, pn_slice(folder, len));
	tree->root = arena_alloc(&tree->arena, sizeof(*tree->root));
	tree->root->kind = CONFIG_MAP;
	tree->root->mark.file = tree->folder;
	r = source->ops->list(source, tree->folder, &names, err);
	if (r < 0)
		goto out;
	if (names.len == 0)
		diag_add(diags, DIAG_ERROR, tree->root->mark, "the folder holds no *.yaml file");
	for (const char *name = names.data, *end = name + names.len;
	     name < end && !parse_budget_is_spent(&budget); name += strlen(name) + 1)
		load_file(tree,
		    arena_printf(&tree->arena, "%s%s%s", tree->folder,
			strcmp(tree->folder, "/") == 0 ? "" : "/", name),
		    &budget, diags);
out:
	buf_free(&names);
	if (r < 0)
		config_tree_free(tree);
	return r;
}

void
config_tree_free(struct config_tree *tree)
{
	arena_wipe(&tree->arena);
	*tree = (struct config_tree){ 0 };
}
