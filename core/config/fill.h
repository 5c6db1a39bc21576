/* SPDX-License-Identifier: Apache-2.0 */
/* fill.h - what settings.c and values.c share while a struct is being filled. Nobody else. */
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

/* A row without lists, maps or rows below it. `node` NULL: the default. */
void fill_scalar(const struct fill *fill, const struct place *place, const struct pn_option *row,
    const struct config_node *node, void *field);
void fill_strings(const struct fill *fill, const struct place *place, const struct pn_option *row,
    const struct config_node *node, void *field);

#endif
