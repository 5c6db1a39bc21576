/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.h - the YAML files of a folder as one merged tree with marks.
 *
 * Maps merge across files; a scalar or list given twice is an error that names both places. `<<`
 * is refused, aliases are bounded, `!file` and `!env` stay as tags until a setting reads them.
 * The tree lives in its own arena and is read-only afterwards.
 */
#ifndef CORE_CONFIG_TREE_H
#define CORE_CONFIG_TREE_H

#include <core/config/diag.h>
#include <core/config/source.h>

enum config_node_kind { CONFIG_SCALAR, CONFIG_LIST, CONFIG_MAP };
enum config_tag { CONFIG_TAG_NONE, CONFIG_TAG_FILE, CONFIG_TAG_ENV };

/*
 * What `!file` or `!env` gave when it was first followed. Kept with the node, so that the same tree
 * can fill settings again when its source is no longer at hand, and on exactly the same bytes.
 */
struct pn_secret;
struct config_followed {
	struct arena *arena;            /* the tree's */
	const char *text;               /* NULL: not yet */
	const struct pn_secret *secret; /* the same; owned by who filled it in first */
};

struct config_node {
	enum config_node_kind kind;
	enum config_tag tag;
	bool quoted; /* '...', "...", | or >: never null */
	struct config_mark mark;
	const char *text;                 /* SCALAR */
	struct config_followed *followed; /* SCALAR with a tag */
	size_t count;                     /* LIST items, MAP pairs */
	struct config_node **items;
	struct config_node **keys; /* MAP: scalars */
};

struct config_tree {
	struct arena arena;
	/* For !file; borrowed, must outlive the first filling of settings. NULL: no longer there.
	 */
	struct source *source;
	const char *folder;
	struct config_node *root; /* a MAP, possibly empty */
	bool incomplete; /* a file could not be read to its end: nothing is said to be missing */
};

/* Problems go to `diags`; the tree holds what could be read. -errno only if the folder cannot. */
int config_tree_load(struct config_tree *tree, struct source *source, const char *folder,
    struct diags *diags, struct pn_error *err);
void config_tree_free(struct config_tree *tree);
struct config_node *config_node_get(const struct config_node *map, const char *key);

#endif
