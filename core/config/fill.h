/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fill.h - what settings.c, values.c and scopes.c share while a struct is being filled. Nobody
 * else.
 */
#ifndef CORE_CONFIG_FILL_H
#define CORE_CONFIG_FILL_H

#include <core/config/option.h>

struct fill {
	const struct config_tree *tree;
	const char *where;
	size_t row_size;
	struct arena *arena;
	struct settings_secrets **secrets;
	struct diags *diags;
	/*
	 * Where the path of a required key goes that is missing and may be given per scope; NULL:
	 * it is complained of like any other.
	 */
	const char **lacking;
	const char *const *more_keys; /* known beside the table's, for suggestions; NULL: none */
};

/* Where in the section we are; on the stack, written out only when there is something to say. */
struct place {
	const struct place *up; /* NULL: the section itself */
	const char *key;        /* NULL: an item of a list */
	size_t index;
};

void fill_complain(const struct fill *fill, const struct place *place, struct config_mark mark,
    const char *format, ...) PN_PRINTF(4, 5);
/* `unknown WHAT "word"`, with what would be right. */
void fill_unknown(const struct fill *fill, const struct place *place, struct config_mark mark,
    const char *what, const char *word, const char *const *words);

/* The same for a key that no row has; `what` is "option" or "word". */
void fill_unknown_key(const struct fill *fill, const struct place *place,
    const struct pn_option *rows, const struct config_node *key, const char *what);

/* The section of an entry, whose switch `enabled` is passed over. 0, or -EINVAL: complained. */
int fill_entry(struct fill *fill, const struct config_node *node, struct config_mark mark,
    const struct pn_option *rows, size_t size, struct settings *ret);

/* A row without lists, maps or rows below it. `node` NULL: the default. */
void fill_scalar(const struct fill *fill, const struct place *place, const struct pn_option *row,
    const struct config_node *node, void *field);
void fill_strings(const struct fill *fill, const struct place *place, const struct pn_option *row,
    const struct config_node *node, void *field);

#endif
