/* SPDX-License-Identifier: Apache-2.0 */
/*
 * option.h - rows of option tables and the scalars they read. For settings.c, help.c and soundness
 * checks; everybody else uses settings.h.
 */
#ifndef CORE_CONFIG_OPTION_H
#define CORE_CONFIG_OPTION_H

#include <core/config/settings.h>

/* Row `index`, type PN_TYPE_END behind the last. The author's rows may be shorter or longer. */
struct pn_option option_row(const struct pn_option *rows, size_t row_size, size_t index);
/* The row of that key, type PN_TYPE_END if there is none. `ret_index` may be NULL. */
struct pn_option option_find(
    const struct pn_option *rows, size_t row_size, const char *name, size_t *ret_index);
/* True for a table of one row without a key: the value itself. */
bool option_is_bare(const struct pn_option *rows, size_t row_size);

/*
 * Reads BOOL, INT, SIZE, DURATION or CHOICE into its field. -EINVAL, -ERANGE with a text to stand
 * behind the value: "is not a size; write for example 64k".
 */
int option_read(const struct pn_option *row, const char *text, void *field, struct pn_error *err);
/* Is `word` among the choices? -EINVAL with such a text, too. */
int option_choose(
    const struct pn_choice *choices, const char *word, int *ret, struct pn_error *err);

#define OPTION_RANGE_SIZE 80
/* "from 1k to 4g", "at least 1s", "at most 10"; "" without bounds. */
void option_range(const struct pn_option *row, char ret[OPTION_RANGE_SIZE]);

/* What people call the row's type: "list of texts". */
const char *option_type_words(const struct pn_option *row);

/* "did you mean ..." or, where nothing is near, all of `words` (NULL-ended). */
void option_suggest(const char *word, const char *const *words, struct buf *ret);
/* For names that people make up, of which there may be thousands: the nearest, or "". */
const char *option_near(struct arena *arena, const char *word, const char *const *words);
/* The same as option_suggest() as a text in `arena`; "" where there is nothing to suggest. */
const char *option_hint(struct arena *arena, const char *word, const char *const *words);

/* Copies a value into memory that is locked, left out of dumps and wiped at the end. NULL: no
 * memory. */
const struct pn_secret *secret_keep(
    struct settings_secrets **secrets, const void *data, size_t len);

/* settings_fill() for the core's own sections, which know no `enabled` but what their table has. */
int settings_fill_core(const struct config_tree *tree, const char *where, struct config_node *node,
    struct config_mark mark, const struct pn_option *rows, size_t row_size, size_t size,
    struct arena *arena, struct settings_secrets **secrets, struct diags *diags,
    struct settings *ret);

/* The marks below `node` (NULL: none), copied into `arena`. */
struct settings_marks *marks_copy(
    struct arena *arena, const struct config_node *node, struct config_mark mark);

#endif
